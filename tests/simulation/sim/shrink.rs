//! From a failing history to the shortest one that fails in the same way.
