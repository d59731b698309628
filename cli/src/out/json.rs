//! JSON for people, without touching what it says: the order of keys and the form of numbers stay.

/// Puts line breaks and tabs into JSON that parses.
pub fn indent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            c if c.is_ascii_whitespace() => {}
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => {
                quoted = c == '"';
                out.push(c);
            }
        }
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n('\t', depth));
}

#[cfg(test)]
mod tests {
    use super::indent;

    #[test]
    fn only_blanks_change() {
        let text = r#"{"b":[1, {"a":"x\": {\\"}], "a":{ }, "c":[ ]}"#;
        let wanted =
            "{\n\t\"b\": [\n\t\t1,\n\t\t{\n\t\t\t\"a\": \"x\\\": {\\\\\"\n\t\t}\n\t],\n\t\"a\": {},\n\t\"c\": []\n}";
        assert_eq!(indent(text), wanted);
    }
}
