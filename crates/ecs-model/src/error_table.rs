//! How the table of errors is declared; the table itself is [`ErrorCode`](crate::ErrorCode).

/// Declares the errors: `Variant = "NameOnTheWire" status fault,`.
macro_rules! error_codes {
    (pub enum $name:ident { $( $variant:ident = $wire:literal $status:literal $fault:literal ),* $(,)? }) => {
        /// An error that the service can answer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( #[doc = $wire] $variant, )*
        }

        impl $name {
            /// Every error, by name.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),*];

            /// The name on the wire, as in `__type`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $wire, )*
                }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $( Self::$variant => $status, )*
                }
            }

            /// Whether it is the service's failure and not the caller's mistake.
            #[must_use]
            pub fn is_fault(self) -> bool {
                match self {
                    $( Self::$variant => $fault, )*
                }
            }

            /// The error of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().find(|code| code.name() == name).copied()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use error_codes;
