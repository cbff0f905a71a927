//! The book of leases.

use jiff::Timestamp;
use runtime_core::task::{Epoch, Lease, TaskId};

use crate::platform::LeaseBook;

fn lease(row: u64, epoch: u64) -> Lease {
    Lease { task: TaskId::new(Timestamp::UNIX_EPOCH, 7, row), epoch: Epoch(epoch) }
}

#[test]
fn a_lease_is_struck_out_by_its_own_epoch_alone() {
    let book = LeaseBook::default();
    book.add([lease(1, 1), lease(2, 1)]);
    book.add([lease(1, 2)]);
    book.remove(&[lease(1, 1)]);
    let mut held = book.all();
    held.sort();
    assert_eq!(held, [lease(1, 2), lease(2, 1)], "a later lease of the same task stays");
    book.remove(&[lease(1, 2), lease(2, 1), lease(3, 1)]);
    assert!(book.all().is_empty());
}
