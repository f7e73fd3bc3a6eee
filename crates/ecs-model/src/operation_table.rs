//! How the table of operations is declared; the table itself is [`Operation`].

use serde::de::DeserializeOwned;

use crate::Operation;
use crate::shape::Shape;
use crate::validate::Validate;

/// A request of an operation. Each operation has a request type of its own.
pub trait Request: Shape + Validate + DeserializeOwned + Send + 'static {
    /// The operation that takes it.
    const OPERATION: Operation;
    /// What the operation gives.
    type Response: Shape + serde::Serialize + Send + 'static;
}

/// How an operation's answer comes in pages. `token` has the same name in request and response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pagination {
    /// The member with the token of the next page.
    pub token: &'static str,
    /// The request's member with the size of a page.
    pub limit: &'static str,
    /// The response's list.
    pub result: &'static str,
}

/// Declares the operations, and ties requests to responses.
macro_rules! operations {
    (pub enum $name:ident { $( $variant:ident = $wire:literal {
        types: $request:ident => $response:ident,
        errors: [$( $error:ident ),*],
        readonly: $readonly:literal,
        idempotent: $idempotent:literal,
        token: $token:expr,
        pagination: $pagination:expr,
    } )* }) => {
        /// An operation of the service.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( #[doc = $wire] $variant, )*
        }

        impl $name {
            /// Every operation, by name.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),*];

            /// The name on the wire.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $wire, )*
                }
            }

            /// The operation of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.binary_search_by(|operation| operation.name().cmp(name)).ok().map(|at| Self::ALL[at])
            }

            /// The operation that an `X-Amz-Target` header names: `AmazonEC2ContainerServiceV20141113.RunTask`.
            #[must_use]
            pub fn from_target(target: &str) -> Option<Self> {
                let (prefix, name) = target.split_once('.')?;
                if prefix == $crate::TARGET_PREFIX { Self::from_name(name) } else { None }
            }

            /// The name of the request's shape.
            #[must_use]
            pub fn input_shape(self) -> &'static str {
                match self {
                    $( Self::$variant => stringify!($request), )*
                }
            }

            /// The name of the response's shape.
            #[must_use]
            pub fn output_shape(self) -> &'static str {
                match self {
                    $( Self::$variant => stringify!($response), )*
                }
            }

            /// The errors that the model declares for it.
            #[must_use]
            pub fn errors(self) -> &'static [ErrorCode] {
                match self {
                    $( Self::$variant => &[$( ErrorCode::$error ),*], )*
                }
            }

            /// Whether the model says that it changes nothing.
            #[must_use]
            pub fn is_readonly(self) -> bool {
                match self {
                    $( Self::$variant => $readonly, )*
                }
            }

            /// Whether the model says that doing it twice is the same as once.
            #[must_use]
            pub fn is_idempotent(self) -> bool {
                match self {
                    $( Self::$variant => $idempotent, )*
                }
            }

            /// The request's member that SDKs fill with a token of their own when the caller gives none.
            #[must_use]
            pub fn idempotency_token(self) -> Option<&'static str> {
                match self {
                    $( Self::$variant => $token, )*
                }
            }

            /// How its answer comes in pages, when SDKs know it as paginated.
            #[must_use]
            pub fn pagination(self) -> Option<Pagination> {
                match self {
                    $( Self::$variant => $pagination, )*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        $( impl Request for $request {
            const OPERATION: $name = $name::$variant;
            type Response = $response;
        } )*
    };
}

pub(crate) use operations;
