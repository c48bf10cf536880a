//! Tables of text.

use std::borrow::Cow;

/// Returns the rows as lines, with columns as wide as their widest cell. The last column is not padded.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[Cow<'_, str>; N]]) -> String {
    let mut widths = head.map(width);
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let mut text = String::with_capacity((rows.len() + 1) * (widths.iter().sum::<usize>() + 2 * N + 1));
    line(&mut text, &widths, head.iter().copied());
    for row in rows {
        line(&mut text, &widths, row.iter().map(AsRef::as_ref));
    }
    text
}

fn line<'a>(text: &mut String, widths: &[usize], cells: impl Iterator<Item = &'a str>) {
    for (widest, cell) in widths.iter().zip(cells) {
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', widest - width(cell) + 2));
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

/// Returns the number of columns of a cell.
fn width(cell: &str) -> usize {
    if cell.is_ascii() { cell.len() } else { cell.chars().count() }
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["1", "läuft", ""], ["10", "a", "b"]].map(|row| row.map(Into::into));
        assert_eq!(table(["ID", "IS", "X"], &rows), "ID  IS     X\n1   läuft\n10  a      b\n");
    }
}
