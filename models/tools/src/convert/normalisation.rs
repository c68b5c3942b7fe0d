//! Folding batch normalisations into what is before them (Ioffe and Szegedy 2015, with the statistics fixed).

/// A batch normalisation with its statistics fixed: `(x − μ) · γ / √(σ² + ε) + β` for each channel.
pub struct Normalisation<'a> {
    pub gamma: &'a [f32],
    pub beta: &'a [f32],
    pub mean: &'a [f32],
    pub variance: &'a [f32],
    pub epsilon: f32,
}

impl Normalisation<'_> {
    /// The weights (output channels outermost) and bias of a convolution that does what one with these and then this
    /// normalisation does; none where lengths do not fit.
    pub fn fold(&self, weights: &[f32], bias: &[f32]) -> Option<(Vec<f32>, Vec<f32>)> {
        let channels = bias.len();
        let fits = [self.gamma, self.beta, self.mean, self.variance].iter().all(|column| column.len() == channels);
        if !fits || channels == 0 || !weights.len().is_multiple_of(channels) {
            return None;
        }
        let factor =
            |at: usize| f64::from(self.gamma[at]) / (f64::from(self.variance[at]) + f64::from(self.epsilon)).sqrt();
        let inner = (weights.len() / channels).max(1);
        let folded = weights.iter().enumerate().map(|(at, &weight)| (f64::from(weight) * factor(at / inner)) as f32);
        let shifted = (0..channels).map(|at| {
            ((f64::from(bias[at]) - f64::from(self.mean[at])) * factor(at) + f64::from(self.beta[at])) as f32
        });
        Some((folded.collect(), shifted.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_is_the_same_as_one_after_the_other() {
        let norm = Normalisation {
            gamma: &[2.0, 0.5],
            beta: &[1.0, -1.0],
            mean: &[0.25, 4.0],
            variance: &[3.0, 0.0],
            epsilon: 1.0,
        };
        let (weights, bias) = norm.fold(&[1.0, 2.0, 3.0, 4.0], &[0.0, 2.0]).unwrap();
        // The factors are 2/√4 = 1 and 0.5/√1 = 0.5.
        assert_eq!(weights, [1.0, 2.0, 1.5, 2.0]);
        assert_eq!(bias, [0.75, -2.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let norm = Normalisation { gamma: &[1.0], beta: &[1.0], mean: &[1.0], variance: &[1.0], epsilon: 1.0 };
        assert!(norm.fold(&[1.0, 2.0], &[0.0, 0.0]).is_none(), "two channels, one normalised");
        assert!(norm.fold(&[], &[]).is_none());
        let two =
            Normalisation { gamma: &[1.0; 2], beta: &[1.0; 2], mean: &[1.0; 2], variance: &[1.0; 2], epsilon: 1.0 };
        assert!(two.fold(&[1.0, 2.0, 3.0], &[0.0, 0.0]).is_none(), "three weights for two channels");
    }
}
