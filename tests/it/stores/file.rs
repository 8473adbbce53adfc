//! The file store, judged by what lies on the disk.
