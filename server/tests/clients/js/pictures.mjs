// What is drawn, against what should be.

/** Grey values of a picture, `size` by `size`, of the square or rectangle that an image of `columns` by
 * `rows` takes when it is fitted into it. */
export function shrink(picture, columns, rows, size) {
  const scale = Math.min(picture.width / columns, picture.height / rows);
  const left = (picture.width - columns * scale) / 2;
  const top = (picture.height - rows * scale) / 2;
  const at = (x, y) => picture.grey[Math.floor(y) * picture.width + Math.floor(x)];
  return sample(size, (u, v) => at(left + u * columns * scale, top + v * rows * scale));
}

/** The same of a frame as the archive gives it. */
export function shrinkFrame(frame, size) {
  const { columns, rows, value } = frame;
  return sample(size, (u, v) => value(Math.floor(v * rows) * columns + Math.floor(u * columns)));
}

function sample(size, at) {
  const out = new Float64Array(size * size);
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column < size; column += 1) {
      out[row * size + column] = at((column + 0.5) / size, (row + 0.5) / size);
    }
  }
  return out;
}

/** Pearson's correlation; 0 if one of the two is uniform. */
export function likeness(one, other) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [a, b] = [mean(one), mean(other)];
  let [both, first, second] = [0, 0, 0];
  for (let place = 0; place < one.length; place += 1) {
    const [x, y] = [one[place] - a, other[place] - b];
    both += x * y;
    first += x * x;
    second += y * y;
  }
  return first && second ? both / Math.sqrt(first * second) : 0;
}

const number = (item, tag, fallback) => Number(item[tag]?.Value?.[0] ?? fallback);

/** Frame `index` (from 1) of an instance, windowed from `low` to `high` of what viewers show. */
export async function fetchFrame(root, item, index, window) {
  const uid = (tag) => item[tag].Value[0];
  const url = `${root}/dicom-web/studies/${uid('0020000D')}/series/${uid('0020000E')}/instances/${uid('00080018')}/frames/${index}`;
  const response = await fetch(url, { headers: { Accept: 'application/octet-stream' } });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  const bytes = await response.arrayBuffer();
  const [rows, columns] = [number(item, '00280010'), number(item, '00280011')];
  if (number(item, '00280002', 1) === 3) {
    const rgb = new Uint8Array(bytes);
    return { rows, columns, value: (place) => 0.299 * rgb[3 * place] + 0.587 * rgb[3 * place + 1] + 0.114 * rgb[3 * place + 2] };
  }
  const signed = number(item, '00280103', 0) === 1;
  const wide = number(item, '00280100') === 16;
  const Kind = wide ? (signed ? Int16Array : Uint16Array) : signed ? Int8Array : Uint8Array;
  const samples = new Kind(bytes);
  const [slope, intercept] = [number(item, '00281053', 1), number(item, '00281052', 0)];
  const clip = (value) => Math.min(Math.max(value, window?.lower ?? -Infinity), window?.upper ?? Infinity);
  return { rows, columns, value: (place) => clip(samples[place] * slope + intercept) };
}
