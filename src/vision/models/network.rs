//! A network that `tract` runs: one input, fixed shapes, shared by all threads; and one thread's use of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tract_onnx::prelude::{
    Framework, InferenceModelExt, TValue, Tensor, TractError, TypedFact, TypedRunnableModel, tvec,
};
use tract_onnx::tract_core::{
    ops::TypedOp,
    plan::{SimplePlan, SimpleState},
};

use super::{
    manifest::{Input, Part},
    ops,
    pack::Pack,
    prepare,
};
use crate::error::{Context, Error, Kind, Result};

/// A network ready to run, for one shape of input.
#[derive(Clone)]
pub struct Network {
    name: Arc<str>,
    plan: Arc<TypedRunnableModel>,
    shape: [usize; 4],
}

impl Network {
    /// The part's network, for the input that the manifest gives.
    ///
    /// # Errors
    /// [`Kind::Model`]: the file is not the manifest's, cannot be read as a network, or cannot be run by `tract`.
    pub fn load(pack: &Pack, part: &Part) -> Result<Self> {
        Self::load_sized(pack, part, part.input.width, part.input.height)
    }

    /// As [`Network::load`], for an input of another size.
    ///
    /// # Errors
    /// As there.
    pub fn load_sized(pack: &Pack, part: &Part, width: usize, height: usize) -> Result<Self> {
        let name = pack.path(part).display().to_string();
        Self::from_bytes(&name, &pack.read(part)?, Input { width, height, ..part.input })
    }

    /// As [`Network::load`], without any operator of ours: what a benchmark compares them with.
    ///
    /// # Errors
    /// As there.
    pub fn load_for_comparison(pack: &Pack, part: &Part) -> Result<Self> {
        Self::read(&pack.path(part).display().to_string(), &pack.read(part)?, part.input, false)
    }

    /// A network from the bytes of an ONNX file, said to come from `name`.
    ///
    /// # Errors
    /// [`Kind::Model`]: the bytes are no network, or not one that can be run with that input.
    pub fn from_bytes(name: &str, bytes: &[u8], input: Input) -> Result<Self> {
        Self::read(name, bytes, input, true)
    }

    fn read(name: &str, bytes: &[u8], input: Input, with_our_operators: bool) -> Result<Self> {
        let shape = [1, input.colour.planes(), input.height, input.width];
        let mut onnx = tract_onnx::onnx();
        if with_our_operators {
            ops::register(&mut onnx);
        }
        let refused = || format!("{name} is not a network that can be run");
        let mut model = onnx.proto_model_for_read(&mut &*bytes).map_err(tell).context(Kind::Model, refused)?;
        prepare::prepare(&mut model, shape).map_err(|error| error.within(name))?;
        // tract checks much with assertions; a network that trips one is refused like any other.
        let plan = catch_unwind(AssertUnwindSafe(|| {
            let model = onnx.model_for_proto_model(&model)?.into_typed()?;
            let model = if with_our_operators { ops::put_in(model)? } else { model };
            SimplePlan::new(model.into_optimized()?)
        }))
        .map_err(|_| Error::new(Kind::Model, refused()))?
        .map_err(tell)
        .context(Kind::Model, refused)?;
        Ok(Self { name: name.into(), plan, shape })
    }

    /// Width and height of the input in pixels.
    pub fn input_size(&self) -> (usize, usize) {
        (self.shape[3], self.shape[2])
    }

    /// One thread's use of the network.
    ///
    /// # Errors
    /// [`Kind::Model`] where `tract` cannot make its state.
    pub fn state(&self) -> Result<NetworkState> {
        let state = self.plan.spawn().map_err(tell).context(Kind::Model, || format!("{} cannot be run", self.name))?;
        Ok(NetworkState { network: self.clone(), state, input: Arc::new(self.zeros()?) })
    }

    fn zeros(&self) -> Result<Tensor> {
        Tensor::zero::<f32>(&self.shape).map_err(tell).context(Kind::Model, || format!("{} cannot be fed", self.name))
    }
}

/// One thread's use of a [`Network`].
pub struct NetworkState {
    network: Network,
    state: SimpleState<TypedFact, Box<dyn TypedOp>>,
    /// What it is fed, from run to run: to have a megabyte of memory anew and empty for each takes longer than to fill it.
    input: Arc<Tensor>,
}

impl NetworkState {
    /// Runs the network on planes of numbers, row by row, one plane after the other; `fill` writes them all, also where they are
    /// zeros: it finds what it left there the last time. Gives the outputs in the network's order, each as one row of numbers.
    ///
    /// # Errors
    /// [`Kind::Model`] where the network fails or gives something else than floats.
    pub fn run(&mut self, fill: impl FnOnce(&mut [f32])) -> Result<Vec<Vec<f32>>> {
        let failed = || format!("{} failed", self.network.name);
        if Arc::get_mut(&mut self.input).is_none() {
            // A run that failed may have kept it.
            self.input = Arc::new(self.network.zeros()?);
        }
        let filled = Arc::make_mut(&mut self.input).try_as_plain_ram_mut().and_then(|mut plain| {
            fill(plain.as_slice_mut::<f32>()?);
            Ok(())
        });
        filled.map_err(tell).context(Kind::Model, failed)?;
        let input = TValue::from_const(Arc::clone(&self.input));
        let outputs = self.state.run(tvec!(input)).map_err(tell).context(Kind::Model, failed)?;
        let numbers = outputs.iter().map(|output| Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()));
        numbers.collect::<Result<_, _>>().map_err(tell).context(Kind::Model, failed)
    }

    /// Width and height of the input in pixels.
    pub fn input_size(&self) -> (usize, usize) {
        self.network.input_size()
    }
}

/// tract's errors are of `anyhow`, which is no `std::error::Error`; their whole chain as one text.
fn tell(error: TractError) -> String {
    format!("{error:#}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vision::models::Colour;

    proptest! {
        #[test]
        fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let input = Input { width: 32, height: 32, colour: Colour::Rgb, mean: 0.0, scale: 1.0 };
            let refused = Network::from_bytes("noise.onnx", &bytes, input).err();
            prop_assert!(refused.is_some_and(|e| e.kind() == Kind::Model && e.to_string().contains("noise.onnx")));
        }
    }
}
