//! What goes into a statement and comes out of a row: the three types that both databases store
//! alike. Times are integers (milliseconds since 1970), truth is 0 or 1, documents are JSON text.

use super::StoreError;

/// A value for a place in a statement. An absent one still has a type, which PostgreSQL wants.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

// Values may be ciphertexts or hashes of tokens: only their type is shown.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "integer",
            Self::Bytes(_) => "bytes",
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(Some(integer))
    }
}

impl From<Option<i64>> for Value {
    fn from(integer: Option<i64>) -> Self {
        Self::Integer(integer)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Integer(Some(i64::from(truth)))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}

/// The values of a statement, in the order of its places.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::Value::from($value)),*] };
}

/// One row of an answer, read column by column from the left.
#[derive(Debug)]
pub struct Row {
    values: std::vec::IntoIter<Option<Cell>>,
}

/// What stood in a column.
#[derive(Debug)]
pub(super) enum Cell {
    Text(String),
    Integer(i64),
    Bytes(Vec<u8>),
}

impl Row {
    pub(super) fn new(values: Vec<Option<Cell>>) -> Self {
        Self { values: values.into_iter() }
    }

    /// The next column, as a value of the type of `like`.
    pub fn value(&mut self, like: &Value) -> Result<Value, StoreError> {
        Ok(match (like, self.values.next().ok_or(StoreError::Shape)?) {
            (Value::Text(_), Some(Cell::Text(text))) => Value::Text(Some(text)),
            (Value::Integer(_), Some(Cell::Integer(integer))) => Value::Integer(Some(integer)),
            (Value::Bytes(_), Some(Cell::Bytes(bytes))) => Value::Bytes(Some(bytes)),
            (Value::Text(_), None) => Value::Text(None),
            (Value::Integer(_), None) => Value::Integer(None),
            (Value::Bytes(_), None) => Value::Bytes(None),
            (Value::Text(_) | Value::Integer(_) | Value::Bytes(_), Some(_)) => {
                return Err(StoreError::Shape);
            }
        })
    }

    pub fn text(&mut self) -> Result<String, StoreError> {
        self.optional_text()?.ok_or(StoreError::Shape)
    }

    pub fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.values.next().ok_or(StoreError::Shape)? {
            Some(Cell::Text(text)) => Ok(Some(text)),
            None => Ok(None),
            Some(Cell::Integer(_) | Cell::Bytes(_)) => Err(StoreError::Shape),
        }
    }

    pub fn integer(&mut self) -> Result<i64, StoreError> {
        self.optional_integer()?.ok_or(StoreError::Shape)
    }

    pub fn optional_integer(&mut self) -> Result<Option<i64>, StoreError> {
        match self.values.next().ok_or(StoreError::Shape)? {
            Some(Cell::Integer(integer)) => Ok(Some(integer)),
            None => Ok(None),
            Some(Cell::Text(_) | Cell::Bytes(_)) => Err(StoreError::Shape),
        }
    }

    pub fn truth(&mut self) -> Result<bool, StoreError> {
        Ok(self.integer()? != 0)
    }

    pub fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        self.optional_bytes()?.ok_or(StoreError::Shape)
    }

    pub fn optional_bytes(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.values.next().ok_or(StoreError::Shape)? {
            Some(Cell::Bytes(bytes)) => Ok(Some(bytes)),
            None => Ok(None),
            Some(Cell::Text(_) | Cell::Integer(_)) => Err(StoreError::Shape),
        }
    }
}
