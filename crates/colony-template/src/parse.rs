//! From source text to code: tokens, expressions, blocks.

mod block;
mod compile;
mod expression;
mod lexer;
mod literal;
mod number;
mod pipeline;
mod references;
mod token;
mod writer;

pub(crate) use self::block::parse;
