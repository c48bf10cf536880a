//! Tables of text.

use std::fmt::Write as _;

/// Returns the rows as lines, with columns as wide as their widest cell. The last column is not padded.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(cells) {
            write!(line, "{cell:width$}  ").ok();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(head);
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            [["1".to_owned(), "läuft".to_owned(), String::new()], ["10".into(), "a".into(), "b".into()]];
        assert_eq!(table(["ID", "IS", "X"], &rows), "ID  IS     X\n1   läuft\n10  a      b\n");
    }
}
