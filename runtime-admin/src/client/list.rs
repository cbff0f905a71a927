//! Lists over as many pages as they take, and from where a watch goes on after a look.

use std::ops::{Deref, DerefMut};

use super::ClientError;
use crate::page::MAX_PAGE_SIZE;

/// What a look brought, and from where a watch tells what has changed since.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen<T> {
    /// What was seen.
    pub what: T,
    /// A watch that begins at this cursor misses nothing: it was taken before the look, of a list before its first page.
    pub event_cursor: String,
}

impl<T> Deref for Seen<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.what
    }
}

impl<T> DerefMut for Seen<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.what
    }
}

impl<T> IntoIterator for Seen<Vec<T>> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.what.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Seen<Vec<T>> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.what.iter()
    }
}

/// One page of a list.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Of the page after it; empty when this is the last.
    pub(super) next_page_token: String,
    pub(super) event_cursor: String,
}

/// A list from its first page on, at most `limit` items of it. `page` gets the size and the token of a page.
pub(super) async fn pages<T, F>(
    limit: Option<usize>,
    page: impl Fn(u32, String) -> F,
) -> Result<Seen<Vec<T>>, ClientError>
where
    F: Future<Output = Result<Page<T>, ClientError>>,
{
    // Without a limit the server says how many go on a page.
    let size = |so_far: usize| {
        let left = limit.map_or(0, |limit| limit.saturating_sub(so_far).min(MAX_PAGE_SIZE));
        u32::try_from(left).unwrap_or(0)
    };
    let Page { mut items, mut next_page_token, event_cursor } = page(size(0), String::new()).await?;
    while !next_page_token.is_empty() && limit.is_none_or(|limit| items.len() < limit) {
        let more = page(size(items.len()), next_page_token).await?;
        items.extend(more.items);
        next_page_token = more.next_page_token;
    }
    items.truncate(limit.unwrap_or(usize::MAX));
    Ok(Seen { what: items, event_cursor })
}
