//! A transaction over one of sqlx's drivers. The two differ only in types that share no trait which
//! could say so, hence a macro.

/// Makes `$name`, a [`super::Transaction`] of the driver `$driver`; `$row` reads its rows.
macro_rules! transaction {
    ($name:ident, $driver:ty, $arguments:ty, $row:path) => {
        struct $name(sqlx::Transaction<'static, $driver>);

        #[async_trait::async_trait]
        impl $crate::store::Transaction for $name {
            async fn execute(
                &mut self,
                sql: &'static str,
                values: Vec<$crate::store::Value>,
            ) -> Result<u64, $crate::store::StoreError> {
                let query = sqlx::query_with(sql, arguments(values)?);
                Ok(query.execute(&mut *self.0).await?.rows_affected())
            }

            async fn fetch(
                &mut self,
                sql: &'static str,
                values: Vec<$crate::store::Value>,
            ) -> Result<Vec<$crate::store::Row>, $crate::store::StoreError> {
                let query = sqlx::query_with(sql, arguments(values)?);
                query.fetch_all(&mut *self.0).await?.iter().map($row).collect()
            }

            async fn execute_built(
                &mut self,
                sql: String,
                values: Vec<$crate::store::Value>,
            ) -> Result<u64, $crate::store::StoreError> {
                // Names of tables and columns of our own schema, and places for values.
                let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments(values)?);
                Ok(query.execute(&mut *self.0).await?.rows_affected())
            }

            async fn fetch_built(
                &mut self,
                sql: String,
                values: Vec<$crate::store::Value>,
            ) -> Result<Vec<$crate::store::Row>, $crate::store::StoreError> {
                let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments(values)?);
                query.fetch_all(&mut *self.0).await?.iter().map($row).collect()
            }

            async fn define(&mut self, sql: String) -> Result<(), $crate::store::StoreError> {
                // Only migrations come here, whose text is part of this program.
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *self.0).await?;
                Ok(())
            }

            async fn commit(self: Box<Self>) -> Result<(), $crate::store::StoreError> {
                Ok(self.0.commit().await?)
            }
        }

        fn arguments(
            values: Vec<$crate::store::Value>,
        ) -> Result<$arguments, $crate::store::StoreError> {
            use sqlx::Arguments as _;
            use $crate::store::Value;

            let mut arguments = <$arguments>::default();
            for value in values {
                let added = match value {
                    Value::Text(text) => arguments.add(text),
                    Value::Integer(integer) => arguments.add(integer),
                    Value::Bytes(bytes) => arguments.add(bytes),
                };
                added.map_err(|error| {
                    $crate::store::StoreError::Failed(sqlx::Error::Encode(error))
                })?;
            }
            Ok(arguments)
        }
    };
}

pub(super) use transaction;
