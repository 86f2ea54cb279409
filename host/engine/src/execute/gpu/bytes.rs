//! Rows of bytes: uploaded as they are, a quarter of the size, and picked and converted to numbers from 0 to 1 on the
//! device.
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{block, blocks, index, memory, tensor};

const THREADS: u32 = 256;

/// Bytes on a device, four in each number, because WGSL has no smaller ones.
#[derive(Clone, Debug)]
pub(in super::super) struct Bytes {
    words: Handle,
    length: usize,
}

/// Element `i` of the result is byte `i % width` of row `rows[i / width]`, divided by 255.
#[cube(launch_unchecked)]
fn convert(words: &Array<u32>, rows: &Array<u32>, out: &mut Array<f32>, width: u32, length: u32) {
    let at = block() * THREADS + UNIT_POS;
    if at < length {
        let byte = rows[(at / width) as usize] * width + at % width;
        let word = words[(byte / 4) as usize];
        out[at as usize] = f32::cast_from((word >> (byte % 4 * 8)) & 255) / 255.0;
    }
}

/// Uploads bytes.
pub(in super::super) fn upload<R: CubeRuntime>(device: &R::CubeDevice, bytes: &[u8]) -> Bytes {
    let mut words = bytes.to_vec();
    words.resize(bytes.len().next_multiple_of(4).max(4), 0);
    Bytes { words: R::client(device).create_from_slice(&words), length: bytes.len() }
}

/// The rows `rows` of `bytes` as a tensor of `shape`, whose first axis counts them.
///
/// # Panics
/// If `bytes` lack one of the rows.
pub(in super::super) fn rows<R: CubeRuntime>(
    device: &R::CubeDevice,
    bytes: &Bytes,
    rows: &[u32],
    shape: &[usize],
) -> CubeTensor<R> {
    let width: usize = shape[1..].iter().product();
    let last = rows.iter().max().map_or(0, |&row| row as usize + 1);
    assert!(last * width <= bytes.length, "row {last} of {} bytes of {width} each", bytes.length);
    index(bytes.length);
    let client = R::client(device);
    let (out, result) = memory(&client, rows.len() * width);
    let picked = client.create_from_slice(bytemuck::cast_slice(rows));
    // SAFETY: all rows are inside of `bytes`, as checked above.
    unsafe {
        convert::launch_unchecked::<R>(
            &client,
            blocks(index(rows.len() * width).div_ceil(THREADS)),
            CubeDim::new_1d(THREADS),
            ArrayArg::from_raw_parts(bytes.words.clone(), bytes.length.div_ceil(4).max(1)),
            ArrayArg::from_raw_parts(picked, rows.len()),
            result,
            index(width),
            index(rows.len() * width),
        );
    }
    tensor(&client, device, out, shape)
}
