//! The envelope of lists (`formicary-api` 1.3).

use serde::{Deserialize, Serialize};

/// One page of a list. Unlike everything else its members are in PascalCase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Page<T> {
    /// The objects of this page.
    pub records: Vec<T>,
    /// Matching objects over all pages.
    pub total_records: u64,
    /// This page, from 0.
    pub page: u32,
    /// Objects a page.
    pub page_size: u32,
    /// Number of pages.
    pub total_pages: u64,
}

impl<T> Page<T> {
    /// A page of a list of `total_records` objects.
    pub fn new(records: Vec<T>, total_records: u64, page: u32, page_size: u32) -> Self {
        Self {
            records,
            total_records,
            page,
            page_size,
            total_pages: total_records.div_ceil(u64::from(page_size.max(1))),
        }
    }
}
