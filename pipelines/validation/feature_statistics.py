"""Statistics of the features of recorded rows, as TensorFlow Metadata's protos.

Facets Overview shows features with `num_stats` as numeric, those with `string_stats` as categorical, and the
others as bytes.
"""

import numpy as np

BUCKETS = 32  # of a histogram of values, at most
QUANTILES = 10
BLOCK = 1 << 22  # values that are converted at a time
DERIVER = "image_values"  # names how the values of images recorded as bytes come from them


def image_statistics(rows, counted, scale):
    """The statistics of the images and of their values, a list of `FeatureNameStatistics`.

    Images recorded as floats are one numeric feature. Images recorded as bytes are a feature of bytes, and
    their values a numeric feature that is derived from it.

    Args:
      rows: `pipelines.validation.rows.Rows`.
      counted: `{name: number}` of further statistics of the images.
      scale: factor from values to [0, 1]; it decides the buckets of bytes, which all tasks have in common.
    """
    from tensorflow_metadata.proto.v0 import statistics_pb2

    kind, types = rows.kinds["image"], statistics_pb2.FeatureNameStatistics
    values = types(name="image" if kind == "float_list" else "image_value")
    _fill_numeric(values, rows.values, rows.sizes, round(1 / scale))
    customs = [statistics_pb2.CustomStatistic(name=n, num=v) for n, v in {**_faults(rows), **counted}.items()]
    if kind == "float_list":
        values.custom_stats.extend(customs)
        return [values]
    values.validation_derived_source.deriver_name = DERIVER
    values.validation_derived_source.source_path.add(step=["image"])
    image = types(name="image", type=types.BYTES, custom_stats=customs)
    lengths = rows.sizes[rows.sizes > 0] * rows.values.dtype.itemsize
    statistics = image.bytes_stats
    statistics.common_stats.CopyFrom(_common(rows.counts["image"]))
    statistics.unique = len(np.unique(rows.hashes[rows.sizes > 0]))
    if len(lengths):
        statistics.avg_num_bytes = lengths.mean()
        statistics.min_num_bytes = lengths.min()
        statistics.max_num_bytes = lengths.max()
        statistics.max_num_bytes_int = int(lengths.max())
    return [image, values]


def shape_statistics(rows):
    """The statistics of the recorded shapes: their numbers, and how many images have which shape."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    feature = statistics_pb2.FeatureNameStatistics(name="shape")
    _fill_numeric(feature, rows.shapes, rows.ranks)
    histogram = feature.custom_stats.add(name="shapes").rank_histogram
    starts = np.cumsum(rows.ranks) - rows.ranks
    for rank in np.unique(rows.ranks[rows.ranks > 0]):
        of_rank = starts[rows.ranks == rank, np.newaxis] + np.arange(rank)
        shapes, numbers = np.unique(rows.shapes[of_rank], axis=0, return_counts=True)
        for shape, number in zip(shapes, numbers, strict=True):
            histogram.buckets.add(label="x".join(map(str, shape)), sample_count=number)
    return feature


def label_statistics(rows):
    """The statistics of the labels as categories: how many rows have which label."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    kinds = {"bytes_list": "STRING", "float_list": "FLOAT"}
    types = statistics_pb2.FeatureNameStatistics
    feature = types(name="label", type=types.Type.Value(kinds.get(rows.kinds["label"], "INT")))
    statistics = feature.string_stats
    statistics.common_stats.CopyFrom(_common(rows.counts["label"]))
    whole = rows.kinds["label"] == "int64_list"
    labels, numbers = np.unique(rows.labels[whole & (rows.counts["label"] > 0)], return_counts=True)
    statistics.unique = len(labels)
    for rank, place in enumerate(np.argsort(-numbers, kind="stable")):
        label, number = str(labels[place]), numbers[place]
        statistics.top_values.add(value=label, frequency=number)
        statistics.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=label, sample_count=number)
    if len(labels):
        statistics.avg_length = np.average([len(str(label)) for label in labels], weights=numbers)
    return feature


def _faults(rows):
    """How many images have one value only, and how many have NaN or infinite values."""
    constant = broken = 0
    for _, images in rows.blocks:
        constant += int((images == images[:, :1]).all(axis=1).sum()) if images.shape[1] > 1 else 0
        if images.dtype.kind == "f":
            broken += int((~np.isfinite(images).all(axis=1)).sum())
    return {"constant": constant, "not_finite": broken}


def _common(counts):
    """`CommonStatistics` of a feature, from the number of its values in each row."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    present = counts[counts > 0]
    common = statistics_pb2.CommonStatistics(
        num_non_missing=len(present),
        num_missing=len(counts) - len(present),
        tot_num_values=int(present.sum()),
    )
    if len(present):
        common.min_num_values = int(present.min())
        common.max_num_values = int(present.max())
        common.avg_num_values = present.mean()
    return common


def _fill_numeric(feature, values, counts, top=None):
    """Sets the type and the numeric statistics of a feature, from all values and their number in each row.

    The buckets of bytes reach from 0 to `top`, and further if there are larger values.
    """
    integers = values.dtype.kind in "iu"
    feature.type = feature.INT if integers else feature.FLOAT
    statistics = feature.num_stats
    statistics.common_stats.CopyFrom(_common(counts))
    if not len(values):
        return
    if integers:
        _fill_integers(statistics, values, top)
    else:
        _fill_floats(statistics, values)


def _fill_integers(statistics, values, top):
    if values.dtype == np.uint8:  # 256 counts hold everything
        blocks = (values[start : start + BLOCK] for start in range(0, len(values), BLOCK))
        numbers = sum(np.bincount(block, minlength=256) for block in blocks)
        found = np.flatnonzero(numbers)
        numbers = numbers[found]
        edges = _whole_edges(0, max(top, found[-1]))
    else:
        found, numbers = np.unique(values, return_counts=True)
        edges = _whole_edges(found[0], found[-1])
    total, below = numbers.sum(), np.cumsum(numbers)
    mean = (found @ numbers) / total
    statistics.mean = mean
    statistics.std_dev = np.sqrt(((found - mean) ** 2 @ numbers) / total)
    statistics.num_zeros = int(numbers[found == 0].sum())
    at = np.linspace(0, total - 1, QUANTILES + 1).round()
    quantiles = found[np.searchsorted(below, at, side="right")]
    counts, _ = np.histogram(found, edges, weights=numbers)
    _fill_ranges(statistics, quantiles, edges, counts, total)


def _whole_edges(low, high):
    """Boundaries of buckets that hold the same number of whole numbers, from `low` to at least `high`."""
    width = -(-(high - low + 1) // BUCKETS)
    return np.arange(low, high + width + 1, width)


def _fill_floats(statistics, values):
    missing = int(np.isnan(values).sum())
    known = values[~np.isnan(values)] if missing else values
    infinite = {sign: int((known == sign).sum()) for sign in (-np.inf, np.inf)}
    finite = known[np.isfinite(known)] if any(infinite.values()) else known
    if len(finite):
        mean = finite.mean(dtype=np.float64)
        squares = sum(
            np.square(finite[start : start + BLOCK] - mean).sum() for start in range(0, len(finite), BLOCK)
        )
        statistics.mean = mean
        statistics.std_dev = np.sqrt(squares / len(finite))
        statistics.num_zeros = len(finite) - int(np.count_nonzero(finite))
        at = np.linspace(0, len(finite) - 1, QUANTILES + 1).round().astype(int)
        quantiles = np.partition(finite, at)[at]
        low, high = float(quantiles[0]), float(quantiles[-1])
        within = 0 <= low < high <= 1  # common boundaries make divergences of images exact
        edges = np.linspace(*((0, 1) if within else (low, high)), BUCKETS + 1 if low < high else 2)
        counts, edges = np.histogram(finite, edges) if low < high else ([len(finite)], edges)
        _fill_ranges(statistics, quantiles, edges, counts, len(finite))
    for sign, number in infinite.items():
        if number:
            extreme = {"low_value": sign, "high_value": sign, "sample_count": number}
            (statistics.histograms or [statistics.histograms.add()])[0].buckets.add(**extreme)
            setattr(statistics, "min" if sign < 0 else "max", sign)
    for histogram in statistics.histograms or ([statistics.histograms.add()] if missing else []):
        histogram.num_nan = missing


def _fill_ranges(statistics, quantiles, edges, counts, total):
    """Sets the range, the median and both histograms."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    statistics.min, statistics.max = float(quantiles[0]), float(quantiles[-1])
    statistics.median = float(quantiles[QUANTILES // 2])
    standard = statistics.histograms.add(type=statistics_pb2.Histogram.STANDARD)
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        standard.buckets.add(low_value=low, high_value=high, sample_count=count)
    other = statistics.histograms.add(type=statistics_pb2.Histogram.QUANTILES)
    for low, high in zip(quantiles[:-1], quantiles[1:], strict=True):
        other.buckets.add(low_value=low, high_value=high, sample_count=total / QUANTILES)
