//! The screenshots in the documentation. They are made again by `just monitor-pictures`.
