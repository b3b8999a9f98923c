//! Tables as data: what a copy of a whole database goes by.

use super::{StoreError, Value};

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    /// In the order of their names.
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    /// An absent value of its type.
    pub absent: Value,
}

/// The tables of `names`, in their order, out of the lines of [`super::Database::schema`].
pub(super) fn of_schema(lines: &[String], names: &[&str]) -> Result<Vec<Table>, StoreError> {
    names.iter().map(|name| one(lines, name)).collect()
}

fn one(lines: &[String], name: &str) -> Result<Table, StoreError> {
    let of_table = |line: &String| Some(line.strip_prefix(name)?.strip_prefix('.')?.to_owned());
    let columns: Vec<Column> = lines
        .iter()
        .filter_map(of_table)
        .map(|line| column(&line).ok_or(StoreError::Shape))
        .collect::<Result<_, _>>()?;
    if columns.is_empty() {
        return Err(StoreError::Shape);
    }
    Ok(Table { name: name.to_owned(), columns })
}

/// `name type …`
fn column(line: &str) -> Option<Column> {
    let mut words = line.split(' ');
    let name = words.next()?.to_owned();
    let absent = match words.next()? {
        "text" => Value::Text(None),
        "integer" => Value::Integer(None),
        "bytes" => Value::Bytes(None),
        _ => return None,
    };
    Some(Column { name, absent })
}

impl Table {
    /// The names of the columns, with commas between.
    pub fn column_names(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|c| format!("\"{}\"", c.name)).collect();
        names.join(", ")
    }
}
