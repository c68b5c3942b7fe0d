//! Loops over many numbers, in the widest instructions that the processor has.

/// Compiles a function for every processor of the architecture and, on x86-64, for those with vectors of eight floats besides,
/// of which the program finds out when it runs. (ARM's 64-bit processors all have theirs.)
///
/// The loops within are written so that the compiler makes vectors of them: every slice has the length of what is written.
macro_rules! widest {
    ($(#[$about:meta])* $vis:vis fn $name:ident($($argument:ident: $type:ty),+ $(,)?) $body:block) => {
        $(#[$about])*
        $vis fn $name($($argument: $type),+) {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: the processor has the instructions that it is compiled to.
                #[allow(unsafe_code)]
                return unsafe { $name::wide($($argument),+) };
            }
            $name::plain($($argument),+)
        }

        mod $name {
            #[allow(clippy::wildcard_imports)]
            use super::*;

            pub fn plain($($argument: $type),+) {
                #[allow(dead_code)]
                const FUSED: bool = cfg!(target_arch = "aarch64");
                $body
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            pub fn wide($($argument: $type),+) {
                #[allow(dead_code)]
                const FUSED: bool = true;
                $body
            }
        }
    };
}

pub(crate) use widest;
