//! String and character literals: what Go's `strconv.Unquote` makes of them.

const SYNTAX: &str = "invalid syntax";

/// The bytes of a string literal, its quotes included; double-quoted or raw.
pub(super) fn unquote(literal: &str) -> Result<Vec<u8>, &'static str> {
    let inner = literal
        .get(1..literal.len().saturating_sub(1))
        .ok_or(SYNTAX)?;
    if literal.starts_with('`') {
        return Ok(inner.bytes().filter(|byte| *byte != b'\r').collect());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while !rest.is_empty() {
        let (piece, tail) = unquote_one(rest, '"')?;
        match piece {
            Piece::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Piece::Byte(byte) => bytes.push(byte),
        }
        rest = tail;
    }
    Ok(bytes)
}

/// The number of a character constant, its quotes included.
pub(super) fn character(literal: &str) -> Result<i64, String> {
    let inner = literal.get(1..).ok_or(SYNTAX)?;
    let (piece, tail) = unquote_one(inner, '\'')?;
    if tail != "'" {
        return Err(format!("malformed character constant: {literal}"));
    }
    Ok(match piece {
        Piece::Char(c) => i64::from(u32::from(c)),
        Piece::Byte(byte) => i64::from(byte),
    })
}

enum Piece {
    Char(char),
    /// From `\xff` or `\377`: a byte, whatever character it may be part of.
    Byte(u8),
}

fn unquote_one(text: &str, quote: char) -> Result<(Piece, &str), &'static str> {
    let mut chars = text.chars();
    let first = chars.next().ok_or(SYNTAX)?;
    if first == quote || first == '\n' {
        return Err(SYNTAX);
    }
    if first != '\\' {
        return Ok((Piece::Char(first), chars.as_str()));
    }
    let escape = chars.next().ok_or(SYNTAX)?;
    let tail = chars.as_str();
    let simple = match escape {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' => '\\',
        c if c == quote => c,
        'x' => return digits(tail, 2, 16).map(|(code, tail)| (Piece::Byte(code as u8), tail)),
        'u' => return code_point(tail, 4),
        'U' => return code_point(tail, 8),
        '0'..='7' => return octal(&text[1..]),
        _ => return Err(SYNTAX),
    };
    Ok((Piece::Char(simple), tail))
}

fn code_point(text: &str, len: usize) -> Result<(Piece, &str), &'static str> {
    let (code, tail) = digits(text, len, 16)?;
    let c = char::from_u32(code).ok_or(SYNTAX)?;
    Ok((Piece::Char(c), tail))
}

fn octal(text: &str) -> Result<(Piece, &str), &'static str> {
    let (code, tail) = digits(text, 3, 8)?;
    let byte = u8::try_from(code).map_err(|_| SYNTAX)?;
    Ok((Piece::Byte(byte), tail))
}

fn digits(text: &str, len: usize, base: u32) -> Result<(u32, &str), &'static str> {
    let head = text
        .get(..len)
        .filter(|head| head.bytes().all(|byte| char::from(byte).is_digit(base)));
    let code = head
        .and_then(|head| u32::from_str_radix(head, base).ok())
        .ok_or(SYNTAX)?;
    Ok((code, &text[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquotes_as_go() {
        let cases: [(&str, Option<&[u8]>); 12] = [
            (r#""a""#, Some(b"a")),
            (r#""\x41\101\u00e9""#, Some("AAé".as_bytes())),
            (r#""\xff""#, Some(b"\xff")),
            (r#""\U0001F600""#, Some("😀".as_bytes())),
            (r#""\ud800""#, None),
            (r#""\400""#, None),
            (r#""\08""#, None),
            (r#""\'""#, None),
            (r#""\z""#, None),
            (r#""\"\\\n""#, Some(b"\"\\\n")),
            ("`a\\n\r\nb`", Some(b"a\\n\nb")),
            (r#""\x4""#, None),
        ];
        for (literal, expected) in cases {
            assert_eq!(unquote(literal).ok().as_deref(), expected, "{literal}");
        }
    }

    #[test]
    fn reads_character_constants() {
        let cases = [
            ("'a'", Some(97)),
            (r"'\n'", Some(10)),
            (r"'\''", Some(39)),
            ("'é'", Some(233)),
            ("'ab'", None),
            ("''", None),
            (r"'\xff'", Some(255)),
            ("'\"'", Some(34)),
            (r#"'\"'"#, None),
        ];
        for (literal, expected) in cases {
            assert_eq!(character(literal).ok(), expected, "{literal}");
        }
    }
}
