//! Random bytes, taken apart into what a target needs. When they are used up there are zeros.

/// What is left of the bytes.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    /// A number below `end`, which is at most 256.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// A number: mostly a small one, sometimes any, sometimes one of the last.
    pub(super) fn number(&mut self) -> u32 {
        match self.byte() {
            small @ 0..=0xdf => small.into(),
            last @ 0xe0..=0xef => u32::MAX - u32::from(last - 0xe0),
            _ => u32::from_be_bytes([0; 4].map(|_: u8| self.byte())),
        }
    }

    pub(super) fn is_chosen(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Something, or nothing.
    pub(super) fn option<T>(&mut self, take: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.is_chosen().then(|| take(self))
    }

    /// Up to 255 bytes: as many as the first one says and as there are.
    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        self.0.split_off(..len).unwrap_or_default()
    }

    /// Text of up to 255 bytes; what is no UTF-8 is replaced.
    pub(super) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }
}
