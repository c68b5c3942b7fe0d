//! Pictures of cameras that hang upside down or behind a mirror.

use image::{RgbImage, imageops};

/// How a picture is turned after it was decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// About its upright axis, as a mirror shows it.
    pub mirror: bool,
    /// By half a turn.
    pub upside_down: bool,
}

impl Turn {
    /// Turns it.
    pub fn apply(self, image: &mut RgbImage) {
        if self.mirror {
            imageops::flip_horizontal_in_place(image);
        }
        if self.upside_down {
            imageops::rotate180_in_place(image);
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn a_corner_goes_where_it_should() {
        for (mirror, upside_down, corner) in
            [(false, false, (0, 0)), (true, false, (3, 0)), (false, true, (3, 1)), (true, true, (0, 1))]
        {
            let mut image = RgbImage::new(4, 2);
            image.put_pixel(0, 0, Rgb([255; 3]));
            Turn { mirror, upside_down }.apply(&mut image);
            assert_eq!(image.get_pixel(corner.0, corner.1), &Rgb([255; 3]));
        }
    }
}
