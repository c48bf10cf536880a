//! The tokens of HTML, without what no reader of this crate needs.

use std::convert::Infallible;

use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};
use html5gum::{Emitter, Error, ForwardingEmitter, Span, State, Tokenizer};

/// A receiver of tokens.
pub(super) trait Sink {
    fn on_event(&mut self, event: CallbackEvent<'_>);

    /// Returns true if the text that follows is read.
    fn wants_text(&self) -> bool;
}

/// Passes the tokens of `text` to `sink`. The contents of scripts, styles and titles are text.
pub(super) fn tokenize(text: &[u8], sink: &mut impl Sink) {
    let mut emitter = CallbackEmitter::new(Events(sink));
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(text, Tokens(emitter)).finish();
}

struct Events<'a, S>(&'a mut S);

impl<S: Sink> Callback<Infallible, ()> for Events<'_, S> {
    fn handle_event(&mut self, event: CallbackEvent<'_>, _: Span<()>) -> Option<Infallible> {
        self.0.on_event(event);
        None
    }
}

/// An emitter that neither validates characters, which is a third of the work, nor copies text that is not read.
struct Tokens<'a, S: Sink>(CallbackEmitter<Events<'a, S>>);

impl<S: Sink> ForwardingEmitter for Tokens<'_, S> {
    type Token = Infallible;

    fn inner(&mut self) -> &mut impl Emitter<Token = Infallible> {
        &mut self.0
    }

    fn should_emit_errors(&mut self) -> bool {
        false
    }

    fn emit_error(&mut self, _: Error) {}

    fn emit_string(&mut self, text: &[u8]) {
        if self.0.callback_mut().0.wants_text() {
            Emitter::emit_string(&mut self.0, text);
        }
    }

    fn push_comment(&mut self, _: &[u8]) {}

    fn emit_current_tag(&mut self) -> Option<State> {
        Emitter::emit_current_tag(&mut self.0)
    }
}
