//! Texts, lists and pairs on their way to C and back.

use super::abi::{Bytes, Pair, Pairs};
use gantry_plugin_api::{Error, Result};
use std::any::Any;
use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a call's arguments point to: it lives as long as the call.
#[derive(Default)]
pub struct Keep {
    texts: Vec<CString>,
    lists: Vec<Box<dyn Any>>,
}

impl Keep {
    pub fn text(&mut self, text: &str) -> Result<*const c_char> {
        self.bytes(text.as_bytes())
    }

    pub fn path(&mut self, path: &Path) -> Result<*const c_char> {
        self.bytes(path.as_os_str().as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<*const c_char> {
        let text = CString::new(bytes);
        let text = text.map_err(|_| Error::invalid(format!("NUL in {:?}", String::from_utf8_lossy(bytes))))?;
        let at = text.as_ptr();
        self.texts.push(text);
        Ok(at)
    }

    /// A list and its length.
    pub fn list<T: 'static>(&mut self, list: Vec<T>) -> (*const T, usize) {
        let (at, len) = (list.as_ptr(), list.len());
        self.lists.push(Box::new(list));
        (at, len)
    }

    pub fn words(&mut self, words: &[String]) -> Result<(*const *const c_char, usize)> {
        let words = words.iter().map(|word| self.text(word)).collect::<Result<Vec<_>>>()?;
        Ok(self.list(words))
    }

    pub fn pairs<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Pairs> {
        let pairs = pairs.into_iter().map(|(key, value)| Ok(Pair { key: self.text(key)?, value: self.text(value)? }));
        let (items, len) = {
            let pairs = pairs.collect::<Result<Vec<_>>>()?;
            self.list(pairs)
        };
        Ok(Pairs { items, len })
    }
}

/// Pairs as the engine keeps them.
pub fn borrowed(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

pub fn bytes(data: &[u8]) -> Bytes {
    Bytes { data: data.as_ptr(), len: data.len() }
}

/// # Safety
/// A C string or null.
pub unsafe fn lossy(text: *const c_char) -> String {
    // SAFETY: by the caller.
    unsafe { optional(text) }.unwrap_or_default()
}

/// # Safety
/// A C string or null.
unsafe fn optional(text: *const c_char) -> Option<String> {
    // SAFETY: not null, so a C string.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// # Safety
/// A C string or null.
pub unsafe fn path(text: *const c_char) -> Option<PathBuf> {
    // SAFETY: not null, so a C string.
    let bytes = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())?;
    (!bytes.is_empty()).then(|| OsStr::from_bytes(bytes).into())
}

/// The items of a list.
///
/// # Safety
/// `at` leads to so many items, or is null.
pub unsafe fn items<'a, T>(at: *const T, len: usize) -> &'a [T] {
    if at.is_null() {
        return &[];
    }
    // SAFETY: by the caller.
    unsafe { std::slice::from_raw_parts(at, len) }
}

/// # Safety
/// Pairs of C strings.
pub unsafe fn pairs(pairs: &Pairs) -> Vec<(String, String)> {
    // SAFETY: by the caller.
    let flagged = unsafe { flagged(pairs) };
    flagged.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()
}

/// # Safety
/// Pairs of C strings; values may be null.
pub unsafe fn flagged(pairs: &Pairs) -> Vec<(String, Option<String>)> {
    // SAFETY: by the caller.
    let pairs = unsafe { items(pairs.items, pairs.len) };
    // SAFETY: by the caller.
    pairs.iter().map(|pair| (unsafe { lossy(pair.key) }, unsafe { optional(pair.value) })).collect()
}

/// # Safety
/// A list of C strings.
pub unsafe fn strings(at: *const *const c_char, len: usize) -> Vec<String> {
    // SAFETY: by the caller.
    let words = unsafe { items(at, len) };
    // SAFETY: by the caller.
    words.iter().map(|word| unsafe { lossy(*word) }).collect()
}

/// # Safety
/// So many bytes, or null.
pub unsafe fn blob(bytes: &Bytes) -> Vec<u8> {
    // SAFETY: by the caller.
    unsafe { items(bytes.data, bytes.len) }.to_vec()
}
