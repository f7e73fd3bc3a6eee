//! The one implementation of reading and writing structures.
//!
//! serde's derive would make about 900 implementations with a helper enum each; this does the same with one generic
//! visitor, compiles in a fraction of the time, and is stricter: a JSON array is no structure.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeStruct, Serializer};

/// A structure of the model.
pub trait Shape: Default {
    /// The model's name.
    const NAME: &'static str;
    /// Wire names of the members, in the model's order.
    const MEMBERS: &'static [&'static str];

    /// Reads the value of one of [`Self::MEMBERS`].
    ///
    /// # Errors
    /// When the value has another type than the member.
    #[doc(hidden)]
    fn read<'de, A: MapAccess<'de>>(&mut self, member: &str, map: &mut A) -> Result<(), A::Error>;

    /// Writes the members that are present.
    ///
    /// # Errors
    /// Those of the serializer.
    #[doc(hidden)]
    fn write<S: SerializeStruct>(&self, out: &mut S) -> Result<(), S::Error>;
}

pub(crate) fn serialize<T: Shape, S: Serializer>(shape: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut out = serializer.serialize_struct(T::NAME, T::MEMBERS.len())?;
    shape.write(&mut out)?;
    out.end()
}

pub(crate) fn deserialize<'de, T: Shape, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_struct(T::NAME, T::MEMBERS, ShapeVisitor(PhantomData))
}

/// Writes a member unless it is absent.
pub(crate) fn put<S: SerializeStruct, T: Serialize>(
    out: &mut S,
    name: &'static str,
    value: &Option<T>,
) -> Result<(), S::Error> {
    match value {
        Some(value) => out.serialize_field(name, value),
        None => out.skip_field(name),
    }
}

struct ShapeVisitor<T>(PhantomData<T>);

impl<'de, T: Shape> Visitor<'de> for ShapeVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "structure {}", T::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut shape = T::default();
        while let Some(member) = map.next_key_seed(MemberName(T::MEMBERS))? {
            match member {
                Some(member) => shape.read(member, &mut map)?,
                None => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        Ok(shape)
    }
}

/// Reads a key without allocating: the member's own name, or none when the structure has no such member.
struct MemberName(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for MemberName {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|member| **member == name).copied())
    }
}

/// A member that [`Shape::read`] does not know: the macro and its table disagree, which its own expansion rules out.
pub(crate) fn unknown<E: serde::de::Error>(member: &str) -> E {
    E::custom(format_args!("no member {member}"))
}

/// Declares a structure: `pub field: Type => "wireName",` for each member, with `(secret)` behind those that `Debug`
/// must not show. Each field's type is the `Option` of what is written.
macro_rules! shape {
    (pub struct $name:ident { $( pub $field:ident : $ty:ty => $wire:literal $( ( $secret:ident ) )? ),* $(,)? }) => {
        #[derive(Clone, Default, PartialEq)]
        pub struct $name {
            $( pub $field: Option<$ty>, )*
        }

        impl $crate::shape::Shape for $name {
            const NAME: &'static str = stringify!($name);
            const MEMBERS: &'static [&'static str] = &[$( $wire ),*];

            fn read<'de, A: serde::de::MapAccess<'de>>(&mut self, member: &str, _map: &mut A) -> Result<(), A::Error> {
                match member {
                    $( $wire => self.$field = _map.next_value()?, )*
                    _ => return Err($crate::shape::unknown(member)),
                }
                #[allow(unreachable_code, reason = "a structure without members")]
                Ok(())
            }

            fn write<S: serde::ser::SerializeStruct>(&self, _out: &mut S) -> Result<(), S::Error> {
                $( $crate::shape::put(_out, $wire, &self.$field)?; )*
                Ok(())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::shape::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::shape::deserialize(deserializer)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut _out = f.debug_struct(stringify!($name));
                $( if let Some(_value) = &self.$field {
                    _out.field(stringify!($field), $crate::shape::shown!(_value $($secret)?));
                } )*
                _out.finish()
            }
        }
    };
}

/// What `Debug` shows of a member.
macro_rules! shown {
    ($value:ident) => {
        $value
    };
    ($value:ident secret) => {
        &"***"
    };
}

pub(crate) use {shape, shown};
