//! Named values: an enum with a variant for each, and `Other` for what the model does not name.

/// What every generated enum can do.
pub trait StringEnum: Sized + 'static {
    /// The values that the model names, in its order.
    const NAMES: &'static [&'static str];

    /// The value on the wire.
    fn as_str(&self) -> &str;

    /// Whether the model names this value.
    fn is_known(&self) -> bool {
        Self::NAMES.contains(&self.as_str())
    }
}

/// Declares an enum: `Variant = "wireValue",` for each value.
macro_rules! string_enum {
    (pub enum $name:ident { $( $variant:ident = $wire:literal ),* $(,)? }) => {
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $variant, )*
            /// A value that the model does not name.
            Other(String),
        }

        impl $name {
            /// The values that the model names, in its order.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),*];

            /// The value on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$variant => $wire, )*
                    Self::Other(value) => value,
                }
            }
        }

        impl $crate::string_enum::StringEnum for $name {
            const NAMES: &'static [&'static str] = &[$( $wire ),*];

            fn as_str(&self) -> &str {
                self.as_str()
            }

            fn is_known(&self) -> bool {
                !matches!(self, Self::Other(_))
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                match value {
                    $( $wire => Self::$variant, )*
                    _ => Self::Other(value.to_owned()),
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::string_enum::UnknownValue;

            fn from_str(value: &str) -> Result<Self, Self::Err> {
                match value.into() {
                    Self::Other(value) => Err($crate::string_enum::UnknownValue(value)),
                    known => Ok(known),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::string_enum::ValueVisitor(std::marker::PhantomData))
            }
        }
    };
}

pub(crate) use string_enum;

/// A string that is none of an enum's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownValue(pub String);

impl std::fmt::Display for UnknownValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unknown value {:?}", self.0)
    }
}

impl std::error::Error for UnknownValue {}

/// Reads a string and turns it into the enum.
pub(crate) struct ValueVisitor<T>(pub(crate) std::marker::PhantomData<T>);

impl<T: for<'a> From<&'a str>> serde::de::Visitor<'_> for ValueVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<T, E> {
        Ok(value.into())
    }
}
