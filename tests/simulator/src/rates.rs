//! Structures of rates, at which things happen that no service wishes for.

/// Declares a structure of rates. Each rate has a name and the maximum that is drawn.
macro_rules! rates {
    ($(#[$of:meta])* $type:ident, $called:literal: $($(#[$doc:meta])* $name:ident = $most:literal,)*) => {
        $(#[$of])*
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct $type {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl $type {
            /// None of them.
            pub const NONE: Self = Self { $($name: 0,)* };

            /// All of them at once, at about the highest rates with which a run still makes progress.
            pub const ALL: Self = Self { $($name: $most / 2,)* };

            /// Draws some of them, each at a random rate. A subset is used because faults hide each other: Groce and
            /// others, *Swarm Testing* (2012).
            fn drawn(rng: &mut $crate::rng::Rng) -> Self {
                Self { $($name: rng.below(2) * rng.between(1, $most),)* }
            }

            /// Returns the names and rates of those that can happen.
            fn named(&self) -> impl Iterator<Item = (&'static str, u32)> {
                let all = [$((stringify!($name), self.$name),)*];
                all.into_iter().filter(|(_, often)| *often > 0)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let named = self.named().map(|(name, often)| format!("{} {often}", name.replace('_', " ")));
                let named: Vec<_> = named.collect();
                if named.is_empty() {
                    return write!(f, concat!("no ", $called));
                }
                write!(f, concat!($called, " in {}: {}"), $crate::rng::OFTEN, named.join(", "))
            }
        }
    };
}

pub(crate) use rates;
