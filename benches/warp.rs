//! How long the warp takes on one core, by format and geometry.
//!
//!     cargo bench --bench warp [-- --json]
//!
//! `benches/compare_warp.py` runs it beside OpenCV.

use std::time::{Duration, Instant};

use sinew::geometry::{Affine, Size};
use sinew::pixels::{Image, PixelFormat, Warp};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// What is measured: a name, the network's size, and image pixels per network pixel.
const CASES: [(&str, Size, f64); 3] = [
    ("fit-short-side", Size::new(928, 512), 720.0 / 512.0),
    ("crop-square", Size::new(512, 512), 720.0 / 512.0),
    ("fit-long-side", Size::new(512, 512), 1280.0 / 512.0),
];

const IMAGE: Size = Size::new(1280, 720);

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    if !json {
        println!("case                   format   median ms   least ms");
    }
    let formats = [
        PixelFormat::Yuyv,
        PixelFormat::Uyvy,
        PixelFormat::Nv12,
        PixelFormat::I420,
        PixelFormat::Rgb,
        PixelFormat::Grey,
    ];
    for (name, network, step) in CASES {
        let centred = |scale: f64, side: usize, network: usize| side as f64 / 2.0 - scale * network as f64 / 2.0;
        let map = Affine {
            x0: centred(step, IMAGE.width, network.width),
            y0: centred(step, IMAGE.height, network.height),
            ..Affine::scale_shift(step, 0.0, 0.0)
        };
        for format in formats {
            measure(name, format, network, &map, json);
        }
        let turned = Affine { xy: 1e-3, ..map };
        measure(&format!("{name}-turned"), PixelFormat::Yuyv, network, &turned, json);
    }
}

fn measure(name: &str, format: PixelFormat, network: Size, map: &Affine, json: bool) {
    let stride = format.row_bytes(IMAGE.width).unwrap();
    let bytes = format.image_bytes(IMAGE, stride).unwrap();
    // Bytes without a pattern, the same in every run.
    let mut state = 1_u32;
    let data = (0..bytes).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let image = Image::new(format, IMAGE, data.collect()).unwrap();
    let mut warp = Warp::new(format, IMAGE, map, network, MEAN, STD).unwrap();
    let mut output = vec![0.0; warp.output_len()];
    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let start = Instant::now();
            warp.run(image.view(), std::hint::black_box(&mut output)).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let (median, least) = (milliseconds(times[times.len() / 2]), milliseconds(times[0]));
    if json {
        let Affine { xx, xy, x0, yx, yy, y0 } = map;
        println!(
            r#"{{"case":"{name}","format":"{format}","network":[{},{}],"map":[[{xx},{xy},{x0}],[{yx},{yy},{y0}]],"median_ms":{median:.4},"min_ms":{least:.4}}}"#,
            network.width, network.height,
        );
    } else {
        println!("{name:22} {:8} {median:9.3}  {least:9.3}", format.to_string());
    }
}
