//! One line of comma-separated values, as `--mount` and the long form of `--network` are written: a field in double
//! quotes may hold commas, and a quote written twice is one quote.

/// Why a text is not a line of CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// `a"b`.
    #[error("bare \" in non-quoted field")]
    Bare,
    /// `"ab`, or something between the closing quote and the comma.
    #[error("extraneous or missing \" in quoted field")]
    Quote,
}

/// Splits a line.
pub fn fields(line: &str) -> Result<Vec<String>, CsvError> {
    let mut list = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) =
            if let Some(quoted) = rest.strip_prefix('"') { quoted_field(quoted)? } else { plain(rest)? };
        list.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(list),
        }
    }
}

fn plain(text: &str) -> Result<(String, Option<&str>), CsvError> {
    let (field, rest) = match text.split_once(',') {
        Some((field, rest)) => (field, Some(rest)),
        None => (text, None),
    };
    if field.contains('"') { Err(CsvError::Bare) } else { Ok((field.to_owned(), rest)) }
}

fn quoted_field(mut text: &str) -> Result<(String, Option<&str>), CsvError> {
    let mut field = String::new();
    loop {
        let (part, after) = text.split_once('"').ok_or(CsvError::Quote)?;
        field.push_str(part);
        if let Some(more) = after.strip_prefix('"') {
            field.push('"');
            text = more;
            continue;
        }
        return match (after, after.strip_prefix(',')) {
            ("", _) => Ok((field, None)),
            (_, Some(rest)) => Ok((field, Some(rest))),
            _ => Err(CsvError::Quote),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let cases: &[(&str, &[&str])] = &[
            ("a,b", &["a", "b"]),
            ("", &[""]),
            ("a,", &["a", ""]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"a\"\"b\"", &["a\"b"]),
        ];
        for (line, want) in cases {
            assert_eq!(fields(line).unwrap(), *want, "{line}");
        }
        assert_eq!(fields("a\"b"), Err(CsvError::Bare));
        assert_eq!(fields("\"ab"), Err(CsvError::Quote));
        assert_eq!(fields("\"a\"b"), Err(CsvError::Quote));
    }
}
