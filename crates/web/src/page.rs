//! One page of a list that is walked through in order.

use std::ops::ControlFlow;

/// Keeps what belongs on a page, and says where the next one begins.
pub(crate) struct Page<T, N = u64> {
    /// What is on the page.
    pub(crate) kept: Vec<T>,
    limit: usize,
    /// The number of the last thing on the page.
    last: Option<N>,
    more: bool,
}

impl<T, N: Copy> Page<T, N> {
    /// An empty page for so many things.
    pub(crate) fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), limit, last: None, more: false }
    }

    /// Takes one thing by its number; breaks when the page was full before.
    pub(crate) fn take(&mut self, number: N, thing: impl FnOnce() -> T) -> ControlFlow<()> {
        if self.kept.len() == self.limit {
            self.more = true;
            return ControlFlow::Break(());
        }
        self.last = Some(number);
        self.kept.push(thing());
        ControlFlow::Continue(())
    }

    /// Nothing more fits, whatever the limit says.
    pub(crate) fn end(&mut self) {
        self.limit = self.kept.len();
    }

    /// The number that the next page begins after; none on the last.
    pub(crate) fn next(&self) -> Option<N> {
        self.last.filter(|_| self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn a_page_names_the_next_one_only_when_there_is_more() {
        let mut page = Page::new(2);
        assert!(page.take(7_u64, || 'a').is_continue() && page.take(8, || 'b').is_continue());
        assert_eq!(page.next(), None);
        assert!(page.take(9, || 'c').is_break());
        assert_eq!((page.next(), page.kept), (Some(8), vec!['a', 'b']));
    }
}
