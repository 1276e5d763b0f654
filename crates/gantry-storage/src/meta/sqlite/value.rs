//! How values of the domain are written in columns, and read back with suspicion.

use std::fmt::Display;
use std::str::FromStr;

use gantry_oci::v1::ImageId;
use gantry_oci::{Algorithm, Digest, RepoName};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Error, Row};

/// A digest as a column: a byte for the algorithm, then the hash.
#[derive(Clone, Copy)]
pub(super) struct DigestColumn(pub(super) Digest);

impl ToSql for DigestColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let hash = self.0.bytes();
        let mut bytes = Vec::with_capacity(1 + hash.len());
        bytes.push(algorithm_to_number(self.0.algorithm()));
        bytes.extend_from_slice(hash);
        Ok(ToSqlOutput::from(bytes))
    }
}

impl FromSql for DigestColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<DigestColumn> {
        let (number, hash) = value.as_blob()?.split_first().ok_or(FromSqlError::InvalidType)?;
        let algorithm =
            algorithm_from_number(i64::from(*number)).ok_or(FromSqlError::OutOfRange(i64::from(*number)))?;
        Digest::from_bytes(algorithm, hash).map(DigestColumn).ok_or(FromSqlError::InvalidType)
    }
}

/// The id of an image as a column: its bytes.
#[derive(Clone, Copy)]
pub(super) struct ImageColumn(pub(super) ImageId);

impl ToSql for ImageColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(&self.0.bytes()[..]))
    }
}

impl FromSql for ImageColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<ImageColumn> {
        let bytes = value.as_blob()?.try_into().map_err(|_| FromSqlError::InvalidType)?;
        Ok(ImageColumn(ImageId::from_bytes(bytes)))
    }
}

pub(super) fn algorithm_to_number(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha256 => 1,
        Algorithm::Sha512 => 2,
    }
}

pub(super) fn algorithm_from_number(number: i64) -> Option<Algorithm> {
    match number {
        1 => Some(Algorithm::Sha256),
        2 => Some(Algorithm::Sha512),
        _ => None,
    }
}

/// A size, offset or limit as SQLite's only integer. Beyond 2^63 nothing is stored anyway.
pub(super) fn integer(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// A column that can only be zero or more.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value))
}

/// A text column that holds a value of the domain.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: Display,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error: T::Err| {
        Error::FromSqlConversionFailure(column, Type::Text, error.to_string().into())
    })
}

/// The name of a repository, which may be a staging place.
pub(super) fn name(row: &Row<'_>, column: usize) -> rusqlite::Result<RepoName> {
    let text = row.get_ref(column)?.as_str()?;
    RepoName::stored(text)
        .map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, error.to_string().into()))
}
