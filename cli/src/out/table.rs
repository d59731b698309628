//! Columns: cells separated by tabs, aligned as Docker's lists are (three blanks between, no column under ten wide).

const PADDING: usize = 3;

/// Aligns lines of tab-separated cells; the last cell of a line is not padded.
pub fn align(lines: &[String], narrowest: usize) -> String {
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let widths = widths(&rows, narrowest);
    let mut out = String::new();
    for row in &rows {
        push_row(&mut out, row, &widths);
    }
    out
}

fn widths(rows: &[Vec<&str>], narrowest: usize) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let padded = rows.iter().filter(|row| column + 1 < row.len());
        padded.map(|row| length(row[column]) + PADDING).max().unwrap_or(0).max(narrowest)
    };
    (0..columns).map(width).collect()
}

fn push_row(out: &mut String, row: &[&str], widths: &[usize]) {
    for (column, cell) in row.iter().enumerate() {
        out.push_str(cell);
        if column + 1 < row.len() {
            let missing = widths[column].saturating_sub(length(cell));
            out.extend(std::iter::repeat_n(' ', missing));
        }
    }
    out.push('\n');
}

fn length(cell: &str) -> usize {
    if cell.is_ascii() { cell.len() } else { cell.chars().count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_spacing() {
        let lines = ["CONTAINER ID\tIMAGE\tNAMES", "0123456789ab\tbb\tweb"].map(str::to_owned);
        assert_eq!(align(&lines, 10), "CONTAINER ID   IMAGE     NAMES\n0123456789ab   bb        web\n");
    }

    #[test]
    fn wide_cells() {
        let lines = ["A\tB", "äöüäöüäöü\tb"].map(str::to_owned);
        assert_eq!(align(&lines, 10), "A           B\näöüäöüäöü   b\n");
    }
}
