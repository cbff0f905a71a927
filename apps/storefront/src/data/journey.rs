//! The Complete Journey's `transactions.parquet`: a batch of rows at a time, so that memory holds one batch and a page
//! of each column, whatever the file's size.

use std::fs::File;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{DataType, DoubleType, Int64Type, Int96, Int96Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use storefront_domain::{JourneyRow, Sale};

use super::LoadError;

/// The file, open; it yields batches of sales in the order of their lines.
pub struct Journey {
    path: PathBuf,
    file: SerializedFileReader<File>,
    /// Rows of a batch, at most.
    batch: usize,
    /// Of the file's row groups, how many were begun.
    begun: usize,
    columns: Option<Columns>,
    /// Lines read.
    line: u64,
}

/// The columns that matter, of one row group, read in step.
struct Columns {
    household: Column<Int64Type>,
    store: Column<Int64Type>,
    product: Column<Int64Type>,
    quantity: Column<Int64Type>,
    value: Column<DoubleType>,
    at: Column<Int96Type>,
}

struct Column<T: DataType> {
    name: &'static str,
    reader: ColumnReaderImpl<T>,
    values: Vec<T::T>,
    levels: Vec<i16>,
}

impl Journey {
    /// Opens `transactions.parquet` of a folder, to be read in batches of `batch` rows.
    ///
    /// # Errors
    /// When it cannot be opened, or is no Parquet file.
    pub fn open(folder: &Path, batch: usize) -> Result<Self, LoadError> {
        let path = folder.join("transactions.parquet");
        let opened = File::open(&path).map_err(|source| LoadError::Io { path: path.clone(), source })?;
        let file = SerializedFileReader::new(opened)
            .map_err(|source| LoadError::Parquet { path: path.clone(), source })?;
        Ok(Self { path, file, batch: batch.max(1), begun: 0, columns: None, line: 0 })
    }

    /// How many rows the file says it has.
    #[must_use]
    pub fn rows(&self) -> u64 {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    fn next_batch(&mut self) -> Result<Option<Vec<Sale>>, LoadError> {
        loop {
            let columns = match &mut self.columns {
                Some(columns) => columns,
                None if self.begun == self.file.num_row_groups() => return Ok(None),
                None => {
                    let columns = Columns::of_group(&self.file, self.begun, &self.path)?;
                    self.begun += 1;
                    self.columns.insert(columns)
                }
            };
            let rows = columns.read(self.batch, self.line, &self.path)?;
            if rows > 0 {
                let sales = (0..rows).map(|index| {
                    self.line += 1;
                    let read = columns.row(index).to_sale(self.line);
                    read.map_err(|source| LoadError::Line { path: self.path.clone(), source })
                });
                return sales.collect::<Result<_, _>>().map(Some);
            }
            self.columns = None;
        }
    }
}

impl Iterator for Journey {
    type Item = Result<Vec<Sale>, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

impl Columns {
    fn of_group(file: &SerializedFileReader<File>, group: usize, path: &Path) -> Result<Self, LoadError> {
        Ok(Self {
            household: Column::of_group(file, group, path, "household_id")?,
            store: Column::of_group(file, group, path, "store_id")?,
            product: Column::of_group(file, group, path, "product_id")?,
            quantity: Column::of_group(file, group, path, "quantity")?,
            value: Column::of_group(file, group, path, "sales_value")?,
            at: Column::of_group(file, group, path, "transaction_timestamp")?,
        })
    }

    /// Reads so many rows of each, fewer at the end of the group; says how many.
    fn read(&mut self, rows: usize, line: u64, path: &Path) -> Result<usize, LoadError> {
        let read = self.household.read(rows, line, path)?;
        for others in [
            self.store.read(rows, line, path)?,
            self.product.read(rows, line, path)?,
            self.quantity.read(rows, line, path)?,
            self.value.read(rows, line, path)?,
            self.at.read(rows, line, path)?,
        ] {
            if others != read {
                let source = ParquetError::General("columns of different lengths".into());
                return Err(LoadError::Parquet { path: path.to_owned(), source });
            }
        }
        Ok(read)
    }

    fn row(&self, index: usize) -> JourneyRow {
        JourneyRow {
            household_id: self.household.values[index],
            store_id: self.store.values[index],
            product_id: self.product.values[index],
            quantity: self.quantity.values[index],
            sales_value: self.value.values[index],
            transaction_timestamp: moment(&self.at.values[index]),
        }
    }
}

impl<T: DataType> Column<T> {
    fn of_group(
        file: &SerializedFileReader<File>,
        group: usize,
        path: &Path,
        name: &'static str,
    ) -> Result<Self, LoadError> {
        let broken = |source| LoadError::Parquet { path: path.to_owned(), source };
        let missing = || LoadError::Column {
            path: path.to_owned(),
            column: name,
            wanted: T::get_physical_type().to_string(),
        };
        let group = file.get_row_group(group).map_err(broken)?;
        let columns = group.metadata().columns();
        let at =
            columns.iter().position(|column| column.column_path().string() == name).ok_or_else(missing)?;
        let reader =
            T::get_column_reader(group.get_column_reader(at).map_err(broken)?).ok_or_else(missing)?;
        Ok(Self { name, reader, values: Vec::new(), levels: Vec::new() })
    }

    fn read(&mut self, rows: usize, line: u64, path: &Path) -> Result<usize, LoadError> {
        self.values.clear();
        self.levels.clear();
        let read = self.reader.read_records(rows, Some(&mut self.levels), None, &mut self.values);
        let (records, values, _) =
            read.map_err(|source| LoadError::Parquet { path: path.to_owned(), source })?;
        if values == records {
            Ok(records)
        } else {
            Err(LoadError::Nothing { path: path.to_owned(), line, column: self.name })
        }
    }
}

/// The old form of a moment: nanoseconds of a day, and the day. Every one of them is a [`Timestamp`]: the years of 32 bits of days
/// wrap around within its range.
fn moment(value: &Int96) -> Timestamp {
    Timestamp::from_nanosecond(value.to_nanos().into()).unwrap_or(Timestamp::MAX)
}
