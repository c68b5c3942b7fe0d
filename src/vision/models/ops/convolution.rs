//! Convolutions of 3×3 pixels as they stand in the graph, and the rectifiers beside them: what [`super::depthwise`] and
//! [`super::halving`] are made of.

use tract_onnx::{
    tract_core::ops::{cnn::Conv, nn::DataFormat},
    tract_hir::internal::*,
};

use super::{depthwise::Depthwise, floats, halving::Halving, planes, rectify};

/// More planes than these are mixed faster as a product of matrices, by tract.
const MIXED: usize = 4;

/// A convolution of planes with a border of zeros, at most one pixel wide.
pub struct Convolution {
    /// 1 where planes are mixed, else as many as there are planes.
    pub groups: usize,
    /// Planes, height and width.
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub strides: [usize; 2],
    /// Width of the border above and to the left.
    pub border: [usize; 2],
    /// For each output plane one for each input plane that goes into it.
    pub weights: Vec<[f32; 9]>,
    /// One for each output plane.
    pub bias: Vec<f32>,
    /// The slopes of the rectifier before it, one for each input plane.
    pub before: Vec<f32>,
    /// The slopes of the rectifier after it, one for each output plane.
    pub after: Vec<f32>,
}

/// What replaces `node`, where it is a convolution that one of ours computes, and rectifiers beside it that serve nobody else.
pub fn replacing(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(mut convolution) = read(model, node)? else { return Ok(None) };
    let mut input = node.inputs[0];
    if only_user(model, input.node).is_some()
        && let Some(slopes) = rectify::slopes(model, &model.nodes[input.node], convolution.input[0])
    {
        convolution.before = slopes;
        input = model.nodes[input.node].inputs[0];
    }
    let mut last = node.id;
    if let Some(next) = only_user(model, node.id)
        && let Some(slopes) = rectify::slopes(model, next, convolution.output[0])
    {
        convolution.after = slopes;
        last = next.id;
    }
    let op: Box<dyn TypedOp> = match convolution.strides {
        [1, 1] if Depthwise::fits(&convolution) => Box::new(Depthwise::new(&convolution)),
        [2, 2] => Box::new(Halving::new(convolution)),
        _ => return Ok(None),
    };
    let mut patch = TypedModelPatch::default();
    let taps = patch.taps(model, &[input])?;
    let wires = patch.wire_node(&node.name, op, &taps)?;
    patch.shunt_outside(model, OutletId::new(last, 0), wires[0])?;
    Ok(Some(patch))
}

/// The convolution that `node` is, without what is beside it.
fn read(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Convolution>> {
    let Some(conv) = node.op_as::<Conv>() else { return Ok(None) };
    let &[input, weights, bias] = &*node.inputs else { return Ok(None) };
    let Some(input @ [planes, height, width]) = planes(model.outlet_fact(input)?) else { return Ok(None) };
    let spec = &conv.pool_spec;
    let plain = spec.data_format == DataFormat::NCHW && *spec.kernel_shape == [3, 3] && *spec.dilations() == [1, 1];
    let depthwise = conv.group == planes && conv.output_channels() == planes;
    let mixed = conv.group == 1 && planes <= MIXED;
    if !plain || !(depthwise || mixed) || conv.q_params.is_some() {
        return Ok(None);
    }
    let (Some(weights), Some(bias)) = (&model.outlet_fact(weights)?.konst, &model.outlet_fact(bias)?.konst) else {
        return Ok(None);
    };
    let (weights, bias) = (floats(weights)?, floats(bias)?);
    let padding = spec.computed_padding(&[height, width]);
    let output = [conv.output_channels(), padding[0].convoluted, padding[1].convoluted];
    let narrow = padding.iter().all(|dim| dim.pad_before <= 1 && dim.pad_after <= 1);
    let fits = weights.len() == 9 * output[0] * planes / conv.group && [1, output[0]].contains(&bias.len());
    if !narrow || !fits || input.contains(&0) || output.contains(&0) {
        return Ok(None);
    }
    Ok(Some(Convolution {
        groups: conv.group,
        input,
        output,
        strides: [spec.stride(0), spec.stride(1)],
        border: [padding[0].pad_before, padding[1].pad_before],
        weights: weights.as_chunks().0.to_vec(),
        bias: bias.iter().cycle().take(output[0]).copied().collect(),
        before: vec![1.0; planes],
        after: vec![1.0; output[0]],
    }))
}

/// The one node that reads what the node gives, unless the network gives it too.
fn only_user(model: &TypedModel, node: usize) -> Option<&TypedNode> {
    let given = model.outputs.contains(&OutletId::new(node, 0));
    model.single_succ(node).ok().flatten().filter(|_| !given)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Net, numbers};

    /// A convolution `c` of `x`, or of what `before` makes of it.
    #[derive(Clone, Debug)]
    struct Case {
        shape: [usize; 4],
        /// Output planes where all input planes are mixed for each; `None` for a depthwise one.
        mixed: Option<usize>,
        strides: [i64; 2],
        pads: [i64; 4],
        before: Rectifier,
        after: Rectifier,
        numbers: Vec<f32>,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Rectifier {
        None,
        Relu,
        PRelu,
    }

    fn cases() -> impl Strategy<Value = Case> {
        let rectifier = || prop::sample::select(vec![Rectifier::None, Rectifier::Relu, Rectifier::PRelu]);
        let strides = prop_oneof![3 => Just([1, 1]), 3 => Just([2, 2]), 1 => [1..4i64, 1..4]];
        let pads = prop_oneof![1 => Just([1; 4]), 1 => [0..2i64, 0..2, 0..2, 0..2]];
        let mixed = prop::option::of(1..6usize);
        let side = |most: usize| prop_oneof![1 => 1..4usize, 4 => 3..most];
        ((1..5usize, side(40), side(90)), mixed, strides, pads, rectifier(), rectifier()).prop_flat_map(
            |((planes, height, width), mixed, strides, pads, before, after)| {
                // With its border a plane holds the kernel once at least.
                let [height, width] =
                    [(height, 0), (width, 1)].map(|(side, at)| side.max(3 - (pads[at] + pads[at + 2]) as usize));
                let made = mixed.unwrap_or(planes);
                numbers(planes * height * width + 9 * planes * made + 2 * made + planes).prop_map(move |numbers| Case {
                    shape: [1, planes, height, width],
                    mixed,
                    strides,
                    pads,
                    before,
                    after,
                    numbers,
                })
            },
        )
    }

    impl Case {
        /// The network and its input.
        fn net(&self) -> (Net, Vec<f32>) {
            let [_, planes, height, width] = self.shape;
            let (groups, inner, made) = self.mixed.map_or((planes, 1, planes), |made| (1, planes, made));
            let mut numbers = self.numbers.clone();
            let mut take = |count: usize| numbers.split_off(numbers.len() - count);
            let mut net = Net::new(self.shape)
                .constant("w", &[made, inner, 3, 3], take(9 * made * inner))
                .constant("b", &[made], take(made))
                .constant("p", &[planes, 1, 1], take(planes))
                .constant("q", &[made, 1, 1], take(made));
            net = rectified(net, self.before, "x", "p", "r");
            let attributes: [(&str, &[i64]); 4] = [
                ("group", &[groups as i64]),
                ("kernel_shape", &[3, 3]),
                ("strides", &self.strides),
                ("pads", &self.pads),
            ];
            net = net.node("Conv", &[self.input(), "w", "b"], "c", &attributes);
            numbers.truncate(planes * height * width);
            (rectified(net, self.after, "c", "q", "y"), numbers)
        }

        fn input(&self) -> &'static str {
            if self.before == Rectifier::None { "x" } else { "r" }
        }

        fn output(&self) -> &'static str {
            if self.after == Rectifier::None { "c" } else { "y" }
        }

        /// Which of ours is to compute it.
        fn ours(&self) -> Option<&'static str> {
            match self.strides {
                [1, 1] if self.mixed.is_none() && self.pads == [1; 4] => Some("Depthwise3x3"),
                // Of one plane in and one out there is no telling.
                [1, 1] if self.mixed == Some(1) && self.shape[1] == 1 && self.pads == [1; 4] => Some("Depthwise3x3"),
                [2, 2] => Some("Halving3x3"),
                _ => None,
            }
        }
    }

    fn rectified(net: Net, by: Rectifier, from: &str, slopes: &str, to: &str) -> Net {
        match by {
            Rectifier::None => net,
            Rectifier::Relu => net.node("Relu", &[from], to, &[]),
            Rectifier::PRelu => net.node("PRelu", &[from, slopes], to, &[]),
        }
    }

    fn ours(operators: &[String]) -> Vec<&str> {
        operators.iter().map(|name| &**name).filter(|name| name.ends_with("3x3")).collect()
    }

    proptest! {
        #[test]
        fn it_computes_what_tract_computes_with_the_rectifiers_beside_it(case in cases()) {
            let (net, input) = case.net();
            let operators = net.agrees(&[case.output()], &input)?;
            prop_assert_eq!(ours(&operators), Vec::from_iter(case.ours()), "{:?}", operators);
            let rectifiers = operators.iter().filter(|name| name.contains("PRelu") || name.contains("Max")).count();
            prop_assert!(case.ours().is_none() || rectifiers == 0, "{:?}", operators);
        }

        #[test]
        fn what_others_read_too_is_still_there_for_them(case in cases()) {
            let (net, input) = case.net();
            // The convolution itself, and what it reads, are outputs as well.
            let read = if case.before == Rectifier::None { "c" } else { "r" };
            let operators = net.agrees(&[case.output(), "c", read], &input)?;
            prop_assert_eq!(ours(&operators), Vec::from_iter(case.ours()), "{:?}", operators);
        }
    }

    #[test]
    fn other_convolutions_stay_tracts() {
        let counted = |[height, width]: [usize; 2], planes: usize, group: usize, others: &[(&str, &[i64])]| {
            let kernel = [height as i64, width as i64];
            let group_of = [group as i64];
            let mut attributes: Vec<(&str, &[i64])> = vec![("group", &group_of), ("kernel_shape", &kernel)];
            attributes.extend(others);
            let inner = planes / group;
            let weights = (0..planes * inner * height * width).map(|n| (n % 7) as f32 - 3.0).collect();
            let net = Net::new([1, planes, 9, 9]).constant("w", &[planes, inner, height, width], weights).node(
                "Conv",
                &["x", "w"],
                "y",
                &attributes,
            );
            let input: Vec<f32> = (0..planes * 81).map(|n| (n % 13) as f32 - 6.0).collect();
            ours(&net.agrees(&["y"], &input).expect("they agree")).len()
        };
        let padded: (&str, &[i64]) = ("pads", &[1, 1, 1, 1]);
        let halving: (&str, &[i64]) = ("strides", &[2, 2]);
        assert_eq!(counted([3, 3], 4, 4, &[padded]), 1, "without a bias it is ours");
        assert_eq!(counted([3, 3], 4, 1, &[halving]), 1, "so is one that mixes four planes");
        assert_eq!(counted([3, 3], 5, 1, &[halving]), 0, "more planes");
        assert_eq!(counted([3, 3], 4, 2, &[halving]), 0, "planes that are mixed in groups");
        assert_eq!(counted([5, 5], 4, 4, &[halving]), 0, "a larger kernel");
        assert_eq!(counted([3, 1], 4, 4, &[halving]), 0, "a narrower kernel");
        assert_eq!(counted([3, 3], 4, 4, &[halving, ("dilations", &[2, 2])]), 0, "a dilated one");
        assert_eq!(counted([3, 3], 4, 4, &[halving, ("pads", &[2, 2, 2, 2])]), 0, "a wider border");
    }
}
