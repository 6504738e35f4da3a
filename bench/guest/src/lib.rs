//! What the measured jobs run: as little as a guest can do, and calls of a provider.

#[cfg(feature = "effect")]
mod effect;
#[cfg(not(feature = "effect"))]
mod noop;

#[cfg(feature = "effect")]
usher_plugin::plugin!(effect::effect);
#[cfg(not(feature = "effect"))]
usher_plugin::plugin!(noop::noop);
