//! Lines of logs as ants write them: `<RFC 3339 time> <stream> <F|P> <text>`.

use super::notice::Line;

/// Reads one line; none when it has another form.
pub(super) fn parse(line: &str) -> Option<Line> {
    let (time, rest) = line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    let (tag, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let partial = match tag {
        "F" => false,
        "P" => true,
        _ => return None,
    };
    Some(Line {
        time: time.to_owned(),
        stream: stream.to_owned(),
        text: text.to_owned(),
        partial,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_read() {
        let line = parse("2026-01-05T09:00:00.000Z stdout F a  b ").unwrap();
        assert_eq!(
            (&*line.stream, &*line.text, line.partial),
            ("stdout", "a  b ", false)
        );
        assert!(
            parse("2026-01-05T09:00:00.000Z stderr P x")
                .unwrap()
                .partial
        );
        assert_eq!(parse("T system F ").unwrap().text, "");
        assert_eq!(parse("T system F").unwrap().text, "");
        for bad in ["", "x", "T stdout Q a", "T stdout"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
