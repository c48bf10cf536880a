//! The declaration of the functions that a command may call, from which the recording and the replaying host follow.

use super::types::show_name;
use super::{commands, files, sockets};

/// A function that a command may call.
pub(in super::super) struct Function {
    pub(super) id: u32,
    /// The name of the resource or the interface, and that of the function.
    pub(super) name: &'static str,
    /// Decodes arguments, and appends them in the form of a trace.
    pub(super) show_arguments: fn(&mut &[u8], &mut String) -> Option<()>,
    /// Decodes a result, and appends it in the form of a trace.
    pub(super) show_answer: fn(&mut &[u8], &mut String) -> Option<()>,
}

/// Returns the identifier of a function, which is the FNV-1a hash of its name with `-` for `_`.
pub(super) const fn id(name: &str) -> u32 {
    let (bytes, mut hash, mut index) = (name.as_bytes(), 0x811c_9dc5_u32, 0);
    while index < bytes.len() {
        let byte = if bytes[index] == b'_' { b'-' } else { bytes[index] };
        hash = (hash ^ byte as u32).wrapping_mul(0x0100_0193);
        index += 1;
    }
    hash
}

/// Returns the function with this identifier.
pub(super) fn function(id: u32) -> Option<&'static Function> {
    [commands::ALL, files::ALL, sockets::ALL]
        .into_iter()
        .flatten()
        .copied()
        .flatten()
        .find(|function| function.id == id)
}

/// Returns a call in the form of a trace, without its result.
pub(super) fn show_call(id: u32, mut arguments: &[u8]) -> String {
    let mut text = String::new();
    let Some(function) = function(id) else { return format!("unknown function {id:#010x}") };
    show_name(function.name, &mut text);
    text.push('(');
    if (function.show_arguments)(&mut arguments, &mut text).is_none() || !arguments.is_empty() {
        text.push_str(" (other arguments than this host knows)");
    }
    text.push(')');
    text
}

/// Appends the result of a call in the form of a trace.
pub(super) fn show_answer(id: u32, mut answer: &[u8], text: &mut String) {
    text.push_str(" -> ");
    if function(id).is_none_or(|function| (function.show_answer)(&mut answer, text).is_none()) {
        text.push_str("(another result than this host knows)");
    }
}

/// Implements a trait of WASI for the recording and the replaying host, and lists its functions. `$host` is the host that
/// answers the calls of a recorded command, as an expression of `$guest`.
macro_rules! interface {
    (
        $list:ident, $path:path, $group:literal, |$guest:ident| $host:expr;
        $(fn $function:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;)*
    ) => {
        impl $path for $crate::portable::recording::Recorded {
            $(fn $function(&mut self, $($argument: $type),*) -> $answer {
                self.recorder.begin();
                $($crate::portable::recording::value::Value::put(&$argument, self.recorder.arguments());)*
                let $guest = &mut self.guest;
                let answer = <_ as $path>::$function($host, $($argument),*);
                self.recorder.end(
                    const { $crate::portable::recording::interface::id(concat!($group, stringify!($function))) },
                    answer,
                )
            })*
        }

        impl $path for $crate::portable::recording::Player {
            $(fn $function(&mut self, $($argument: $type),*) -> $answer {
                self.begin();
                $($crate::portable::recording::value::Value::put(&$argument, self.arguments());)*
                self.answer(
                    const { $crate::portable::recording::interface::id(concat!($group, stringify!($function))) },
                )
            })*
        }

        pub(in $crate::portable) const $list: &[$crate::portable::recording::interface::Function] = &[
            $($crate::portable::recording::interface::Function {
                id: $crate::portable::recording::interface::id(concat!($group, stringify!($function))),
                name: concat!($group, stringify!($function)),
                show_arguments: |input, out| {
                    #[allow(unused_mut, reason = "some functions have no arguments")]
                    let mut separator = "";
                    $(
                        out.push_str(separator);
                        if stringify!($argument) != "this" {
                            $crate::portable::recording::types::show_name(stringify!($argument), out);
                            out.push_str(": ");
                        }
                        let value = <$type as $crate::portable::recording::value::Value>::take(input)?;
                        $crate::portable::recording::value::Value::show(&value, out);
                        separator = ", ";
                    )*
                    let _ = (separator, input, out);
                    Some(())
                },
                show_answer: |input, out| {
                    let answer = <$answer as $crate::portable::recording::answer::Answer>::take(input)?;
                    $crate::portable::recording::answer::Answer::show(answer, out);
                    Some(())
                },
            }),*
        ];
    };
}

pub(super) use interface;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_has_an_identifier_of_its_own() {
        let all: Vec<_> =
            [commands::ALL, files::ALL, sockets::ALL].into_iter().flatten().copied().flatten().collect();
        assert!(all.len() > 100);
        for (index, function) in all.iter().enumerate() {
            assert_ne!(function.id, super::super::format::END, "{}", function.name);
            for other in &all[..index] {
                assert_ne!(function.id, other.id, "{} and {}", function.name, other.name);
            }
        }
        assert_eq!(id("tcp-socket.start_bind"), id("tcp-socket.start-bind"));
    }
}
