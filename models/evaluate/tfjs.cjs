// Runs a TensorFlow.js graph model on raw RGB images, for models/evaluate/others.py.
//
//   node tfjs.cjs NODE_MODULES MODEL.json SIDE < images > outputs
//
// Every image is SIDE x SIDE x 3 bytes; of each the first output is written as float32, little-endian.
'use strict';
const fs = require('fs');
const path = require('path');

async function main() {
  const [modules, file, side] = process.argv.slice(2);
  const tf = require(path.join(path.resolve(modules), '@tensorflow/tfjs'));
  const folder = path.join(path.resolve(modules), '@tensorflow/tfjs-backend-wasm');
  require(folder).setWasmPaths(path.join(folder, 'dist/'));
  await tf.setBackend('wasm');
  await tf.ready();
  const { modelTopology, signature, format, weightsManifest } = JSON.parse(fs.readFileSync(file, 'utf8'));
  const parts = weightsManifest.flatMap((group) => group.paths)
    .map((name) => fs.readFileSync(path.join(path.dirname(file), name)));
  const weightData = new Uint8Array(Buffer.concat(parts)).buffer;
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const load = async () => ({ modelTopology, signature, format, weightSpecs, weightData });
  const model = await tf.loadGraphModel({ load });
  const pixels = fs.readFileSync(0);
  const size = side * side * 3;
  for (let first = 0; first + size <= pixels.length; first += size) {
    const input = tf.tensor(Int32Array.from(pixels.subarray(first, first + size)), [1, +side, +side, 3], 'int32');
    const [output] = [].concat(model.execute({ [model.inputs[0].name]: input }));
    fs.writeSync(1, Buffer.from((await output.data()).buffer));
    tf.dispose([input, output]);
  }
}

main().catch((error) => {
  console.error(`tfjs.cjs: ${error.message}`);
  process.exit(1);
});
