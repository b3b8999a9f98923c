//! Statements that write many rows at once: a round trip each would be what they cost.

/// `head`, places for `rows` rows of `columns` values, and `tail`: `INSERT … VALUES ($1, $2), ($3, $4) …`.
pub fn many(head: &str, (rows, columns): (usize, usize), tail: &str) -> String {
    let row = |row: usize| {
        let places = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({})", places.collect::<Vec<_>>().join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("{head} VALUES {} {tail}", rows.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_place_of_its_own() {
        let sql = many("INSERT INTO t (a, b)", (2, 2), "RETURNING a");
        assert_eq!(sql, "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) RETURNING a");
    }
}
