//! Blocks and templates that call each other.

use super::Binding;
use super::machine::{Frame, Machine, Stop};
use crate::code::{DOLLAR, Index};
use crate::limits::Limit;

impl Machine<'_> {
    pub(super) fn enter(&mut self) {
        self.frames.push(Frame::Scope {
            variables: self.variables.len(),
            dot: self.dot.clone(),
        });
    }

    pub(super) fn leave(&mut self) {
        if let Some(Frame::Scope { variables, dot }) = self.frames.pop() {
            self.variables.truncate(variables);
            self.dot = dot;
        }
    }

    fn template_named(&self, name: Index) -> Option<usize> {
        let name = self.program.names[name as usize].to_str();
        self.program.templates.get(name.as_ref()).copied()
    }

    pub(super) fn find_template(&self, name: Index) -> Result<(), Stop> {
        if self.template_named(name).is_none() {
            let name = self.program.names[name as usize].to_str();
            return Err(Stop::Failed(format!("template {name:?} not defined")));
        }
        if self.depth >= self.limits.template_depth {
            let message = format!(
                "exceeded maximum template depth ({})",
                self.limits.template_depth
            );
            return Err(Stop::Limit(Limit::TemplateDepth, message));
        }
        Ok(())
    }

    pub(super) fn run_template(&mut self, name: Index) {
        let dot = Binding::new(self.pop());
        let Some(chunk) = self.template_named(name) else {
            return;
        };
        let caller_dot = std::mem::replace(&mut self.dot, dot.clone());
        self.frames.push(Frame::Call {
            chunk: self.chunk,
            at: self.at,
            base: self.base,
            dot: caller_dot,
        });
        self.chunk = &self.program.chunks[chunk];
        self.at = 0;
        self.base = self.variables.len();
        self.variables.push((DOLLAR, dot));
        self.depth += 1;
    }

    /// Goes on after the call of the template that ends; false at the end of the main template.
    pub(super) fn return_to_caller(&mut self) -> bool {
        let Some(Frame::Call {
            chunk,
            at,
            base,
            dot,
        }) = self.frames.pop()
        else {
            return false;
        };
        self.variables.truncate(self.base);
        self.chunk = chunk;
        self.at = at;
        self.base = base;
        self.dot = dot;
        self.depth -= 1;
        true
    }
}
