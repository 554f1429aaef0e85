//! The warp against `tests/golden/warp`, which plain NumPy made, and against an exact one written out here.

mod arrays;

use std::path::Path;

use arrays::{array, assert_close};
use proptest::prelude::*;
use sinew::geometry::{Affine, Size};
use sinew::npz::{Array, Values};
use sinew::pixels::{Colour, ColourMatrix, ColourRange, Image, ImageView, PixelFormat, Warp};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];
const FORMATS: [PixelFormat; 6] =
    [PixelFormat::Rgb, PixelFormat::Grey, PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::I420];

fn numbers(array: &Array) -> Vec<f64> {
    match &array.values {
        Values::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Values::F64(values) => values.clone(),
        Values::I64(values) => values.iter().map(|&value| value as f64).collect(),
    }
}

/// What one grey level is in the network's input.
fn grey_level() -> f32 {
    1.0 / 255.0 / 0.224
}

#[test]
fn golden_arrays_agree() {
    for name in ["landscape", "portrait", "rotated", "outside"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/warp/{name}.npz"));
        let [rgb, map, mean, std, expected] =
            ["rgb", "to_picture", "mean", "std", "network"].map(|key| array(&path, key));
        let map = numbers(&map);
        let map = Affine { xx: map[0], xy: map[1], x0: map[2], yx: map[3], yy: map[4], y0: map[5] };
        let image_size = Size::new(rgb.shape[1], rgb.shape[0]);
        let network = Size::new(expected.shape[2], expected.shape[1]);
        let three = |array: &Array| -> [f32; 3] { array.to_f32().try_into().unwrap() };
        let bytes = numbers(&rgb).iter().map(|&value| value as u8).collect();
        let image = Image::new(PixelFormat::Rgb, image_size, bytes).unwrap();
        let mut warp = Warp::new(PixelFormat::Rgb, image_size, &map, network, three(&mean), three(&std)).unwrap();
        let mut found = vec![f32::NAN; warp.output_len()];
        warp.run(image.view(), &mut found).unwrap();
        assert_close(&path, "network", &found, &expected.to_f32(), 0.25 * grey_level());
    }
}

/// The values of every pixel as they are in the image, and those of black.
fn values(view: ImageView<'_>) -> (Vec<[f64; 3]>, [f64; 3]) {
    let (data, stride, Size { width, height }) = (view.data(), view.stride(), view.size());
    let half = stride.div_ceil(2);
    let at = |x: usize, y: usize| -> [usize; 3] {
        let (row, pair, below) = (y * stride, x / 2, y / 2);
        match view.format() {
            PixelFormat::Rgb => [0, 1, 2].map(|channel| row + 3 * x + channel),
            PixelFormat::Grey => [row + x; 3],
            PixelFormat::Yuyv => [row + 2 * x, row + 4 * pair + 1, row + 4 * pair + 3],
            PixelFormat::Uyvy => [row + 2 * x + 1, row + 4 * pair, row + 4 * pair + 2],
            PixelFormat::Nv12 => {
                let u = (height + below) * stride + 2 * pair;
                [row + x, u, u + 1]
            }
            PixelFormat::I420 => {
                let u = height * stride + below * half + pair;
                [row + x, u, u + half * height.div_ceil(2)]
            }
        }
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let black = match (view.format(), view.colour().range) {
        (PixelFormat::Rgb | PixelFormat::Grey, _) => [0.0; 3],
        (_, ColourRange::Full) => [0.0, 128.0, 128.0],
        (_, ColourRange::Limited) => [16.0, 128.0, 128.0],
    };
    (pixels.map(|(x, y)| at(x, y).map(|index| f64::from(data[index]))).collect(), black)
}

/// Red, green and blue of a pixel's values, by the definitions of BT.601 and BT.709.
fn rgb_of(view: ImageView<'_>, [luma, u, v]: [f64; 3]) -> [f64; 3] {
    if matches!(view.format(), PixelFormat::Rgb | PixelFormat::Grey) {
        return [luma, u, v];
    }
    let (red_share, blue_share) = match view.colour().matrix {
        ColourMatrix::Bt601 => (0.299, 0.114),
        ColourMatrix::Bt709 => (0.2126, 0.0722),
    };
    let (luma, u, v) = match view.colour().range {
        ColourRange::Limited => ((luma - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0),
        ColourRange::Full => (luma / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0),
    };
    let (red, blue) = (luma + 2.0 * (1.0 - red_share) * v, luma + 2.0 * (1.0 - blue_share) * u);
    let green = (luma - red_share * red - blue_share * blue) / (1.0 - red_share - blue_share);
    [red, green, blue].map(|value| (255.0 * value).clamp(0.0, 255.0))
}

/// Exact bilinear interpolation, black outside, in `f64`.
fn exact(view: ImageView<'_>, map: &Affine, network: Size) -> Vec<f64> {
    let size = view.size();
    let (pixels, black) = values(view);
    let pixel = |x: i64, y: i64| {
        let inside = x >= 0 && y >= 0 && x < size.width as i64 && y < size.height as i64;
        if inside { pixels[y as usize * size.width + x as usize] } else { black }
    };
    let plane = network.width * network.height;
    let mut output = vec![0.0; 3 * plane];
    for row in 0..network.height {
        for column in 0..network.width {
            let (x, y) = map.apply(column as f64, row as f64);
            let (left, top) = (x.floor(), y.floor());
            let (right_weight, bottom_weight) = (x - left, y - top);
            let (left, top) = (left as i64, top as i64);
            let (right, bottom) = (left.saturating_add(1), top.saturating_add(1));
            let corners = [pixel(left, top), pixel(right, top), pixel(left, bottom), pixel(right, bottom)];
            let blend = core::array::from_fn(|channel| {
                let upper = (1.0 - right_weight) * corners[0][channel] + right_weight * corners[1][channel];
                let lower = (1.0 - right_weight) * corners[2][channel] + right_weight * corners[3][channel];
                (1.0 - bottom_weight) * upper + bottom_weight * lower
            });
            for (channel, value) in rgb_of(view, blend).into_iter().enumerate() {
                let at = channel * plane + row * network.width + column;
                output[at] = (value / 255.0 - f64::from(MEAN[channel])) / f64::from(STD[channel]);
            }
        }
    }
    output
}

/// An image, perhaps with rows further apart than needed, and what lies between them set to a loud value.
fn made(format: PixelFormat, size: Size, slack: usize, seed: u64) -> (usize, Vec<u8>) {
    let mut state = seed | 1;
    let mut stride = format.row_bytes(size.width).unwrap() + slack;
    if format == PixelFormat::I420 {
        stride = stride.next_multiple_of(2);
    }
    let bytes = format.image_bytes(size, stride).unwrap();
    let random = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (stride, (0..bytes).map(random).collect())
}

fn check(view: ImageView<'_>, map: &Affine, network: Size) {
    let size = view.size();
    let mut warp = Warp::new(view.format(), size, map, network, MEAN, STD).unwrap();
    let mut found = vec![f32::NAN; warp.output_len()];
    warp.run(view, &mut found).unwrap();
    // Twice, since what the first run left behind must not matter.
    warp.run(view, &mut found).unwrap();
    for (index, (found, expected)) in found.iter().zip(exact(view, map, network)).enumerate() {
        let off = (f64::from(*found) - expected).abs() / f64::from(grey_level());
        assert!(off <= 0.25, "{} of {size}, {map:?}: value {index} is off by {off} grey levels", view.format());
    }
}

fn sizes(longest: usize) -> impl Strategy<Value = Size> {
    (1..=longest, 1..=longest).prop_map(|(width, height)| Size::new(width, height))
}

proptest! {
    #[test]
    fn scaled_and_shifted_images_are_exact(
        format in prop::sample::select(&FORMATS[..]),
        (image, network) in (sizes(70), sizes(48)),
        (slack, seed) in (0..9_usize, any::<u64>()),
        (xx, yy) in (0.05..3.0_f64, 0.05..3.0_f64),
        (x0, y0) in (-40.0..80.0_f64, -40.0..80.0_f64),
        mirrored in any::<bool>(),
        (full, high) in (any::<bool>(), any::<bool>()),
    ) {
        let (stride, data) = made(format, image, slack, seed);
        let colour = Colour {
            matrix: if high { ColourMatrix::Bt709 } else { ColourMatrix::Bt601 },
            range: if full { ColourRange::Full } else { ColourRange::Limited },
        };
        let view = ImageView::new(format, image, stride, &data).unwrap().with_colour(colour);
        let xx = if mirrored { -xx } else { xx };
        check(view, &Affine { xx, xy: 0.0, x0, yx: 0.0, yy, y0 }, network);
    }

    #[test]
    fn turned_images_are_exact(
        format in prop::sample::select(&FORMATS[..]),
        (image, network) in (sizes(50), sizes(32)),
        (slack, seed) in (0..9_usize, any::<u64>()),
        (scale, angle) in (0.1..3.0_f64, -3.2..3.2_f64),
        (x0, y0) in (-40.0..80.0_f64, -40.0..80.0_f64),
    ) {
        let (stride, data) = made(format, image, slack, seed);
        let view = ImageView::new(format, image, stride, &data).unwrap();
        let (sine, cosine) = (scale * angle.sin(), scale * angle.cos());
        check(view, &Affine { xx: cosine, xy: -sine, x0, yx: sine, yy: cosine, y0 }, network);
    }

    /// The two ways over the image agree at a map that is almost without rotation.
    #[test]
    fn both_ways_agree(
        format in prop::sample::select(&FORMATS[..]),
        (image, network) in (sizes(50), sizes(32)),
        (seed, scale) in (any::<u64>(), 0.1..3.0_f64),
        (x0, y0) in (-20.0..20.0_f64, -20.0..20.0_f64),
    ) {
        let (stride, data) = made(format, image, 0, seed);
        let view = ImageView::new(format, image, stride, &data).unwrap();
        let plain = Affine::scale_shift(scale, x0, y0);
        let mut outputs = [plain, Affine { xy: 1e-9, ..plain }].map(|map| {
            let mut warp = Warp::new(format, image, &map, network, MEAN, STD).unwrap();
            let mut output = vec![f32::NAN; warp.output_len()];
            warp.run(view, &mut output).unwrap();
            output
        });
        let [separable, general] = &mut outputs;
        for (a, b) in separable.iter().zip(general) {
            prop_assert!((*a - *b).abs() <= 0.25 * grey_level(), "{a} {b}");
        }
    }
}

/// Every value that an image can have comes out as it is where nothing is scaled: a rounding error of the smallest kind
/// would show.
#[test]
fn an_unscaled_image_is_exact() {
    let size = Size::new(256, 3);
    let data: Vec<u8> = (0..3 * 256 * 3).map(|index| (index / 3 % 256) as u8).collect();
    let image = Image::new(PixelFormat::Rgb, size, data).unwrap();
    let identity = Affine::scale_shift(1.0, 0.0, 0.0);
    let mut warp = Warp::new(PixelFormat::Rgb, size, &identity, size, [0.0; 3], [1.0; 3]).unwrap();
    let mut output = vec![f32::NAN; warp.output_len()];
    warp.run(image.view(), &mut output).unwrap();
    for (index, value) in output.iter().enumerate() {
        let expected = (index % 256) as f32 / 255.0;
        assert!((value - expected).abs() <= 2e-7, "{value}, not {expected}");
    }
}

#[test]
fn absurd_maps_are_refused_or_black() {
    let size = Size::new(4, 4);
    let make = |map| Warp::new(PixelFormat::Rgb, size, &map, size, MEAN, STD);
    for map in [
        Affine::scale_shift(0.0, 0.0, 0.0),
        Affine::scale_shift(f64::NAN, 0.0, 0.0),
        Affine::scale_shift(1.0, f64::INFINITY, 0.0),
    ] {
        let error = make(map).unwrap_err().to_string();
        assert!(error.contains("singular or not finite"), "{error}");
    }
    let image = Image::new(PixelFormat::Rgb, size, vec![255; 48]).unwrap();
    for far in [1e3, -1e300, 1e300] {
        for turn in [0.0, 1e-3] {
            let mut warp = make(Affine { xy: turn, ..Affine::scale_shift(1.0, far, 0.0) }).unwrap();
            let mut output = vec![f32::NAN; warp.output_len()];
            warp.run(image.view(), &mut output).unwrap();
            for (plane, (mean, std)) in output.chunks_exact(16).zip(MEAN.iter().zip(STD)) {
                assert!(plane.iter().all(|&value| (value + mean / std).abs() < 1e-6), "{plane:?}");
            }
        }
    }
}

#[test]
fn a_foreign_image_or_output_is_refused() {
    let (size, other) = (Size::new(4, 4), Size::new(4, 6));
    let map = Affine::scale_shift(1.0, 0.0, 0.0);
    let mut warp = Warp::new(PixelFormat::Rgb, size, &map, size, MEAN, STD).unwrap();
    let mut output = vec![0.0; warp.output_len()];
    let wrong_size = Image::new(PixelFormat::Rgb, other, vec![0; 72]).unwrap();
    let error = warp.run(wrong_size.view(), &mut output).unwrap_err().to_string();
    assert!(error.contains("4x6") && error.contains("4x4"), "{error}");
    let wrong_format = Image::new(PixelFormat::Grey, size, vec![0; 16]).unwrap();
    let error = warp.run(wrong_format.view(), &mut output).unwrap_err().to_string();
    assert!(error.contains("GREY") && error.contains("RGB"), "{error}");
    let right = Image::new(PixelFormat::Rgb, size, vec![0; 48]).unwrap();
    let error = warp.run(right.view(), &mut output[..47]).unwrap_err().to_string();
    assert!(error.contains("47") && error.contains("48"), "{error}");
}
