"""Non-negative least squares from a Gram matrix, inside a compiled step: few unknowns, float64, exact.

The active-set algorithm of Lawson and Hanson 1974 (Solving Least Squares Problems, algorithm 23.10), with
masks instead of index lists, so that all shapes are static.
"""

import tensorflow as tf

EPSILON = 2.0**-52  # of float64


def nnls_gram(Q, c, active, low=0.0):
    """The `u` `[t]` that minimises 1/2 u'Qu + c'u subject to u >= low.

    With Q = A'A and c = -A'b this is min ||Au - b||^2. If several u are minima, one of them is returned.

    Args:
      Q: symmetric positive semidefinite float64 tensor `[t, t]`.
      c: float64 tensor `[t]`, 0 where the diagonal of Q is 0.
      active: bool tensor `[t]`: the unknowns to solve for; the others stay 0.
      low: lower bound of the active unknowns.

    Returns:
      float64 tensor `[t]`.
    """
    t = Q.shape[0]
    bound = tf.where(active, tf.constant(low, Q.dtype), 0.0)
    c = c + tf.linalg.matvec(Q, bound)  # from here on in u - low >= 0
    # Scaled to unit columns and a right-hand side of size 1, so that one tolerance fits all scales.
    length = tf.sqrt(tf.linalg.diag_part(Q))
    active = active & (length > 0)
    length = tf.where(active, length, 1.0)
    c = tf.where(active, c / length, 0.0)
    size = tf.reduce_max(tf.abs(c))
    size = tf.where(size > 0, size, 1.0)
    Q, c = Q / (length * length[:, tf.newaxis]), c / size

    def turn(k, passive, u, barred, _):
        """One iteration: solves for the unknowns in the passive set, those that may be above 0; then removes
        the first ones that would cross 0, or adds the one of steepest descent."""
        s = _solved(Q, c, passive)
        fresh, wrong = passive & (u == 0), passive & ~(s > 0)  # `wrong` is also true for NaN
        sound = tf.reduce_all(tf.math.is_finite(s))
        # An added unknown becomes positive, up to rounding, unless it depends linearly on the passive ones.
        refused = tf.reduce_any(fresh & wrong)
        reach = tf.where(wrong, u / (u - s), 1.0)
        alpha = tf.reduce_min(reach)
        moved = tf.where(tf.reduce_any(wrong), u + alpha * (s - u), s)
        moved = tf.where(~(wrong & (reach == alpha)), moved, 0.0)
        u = tf.where(refused | ~sound, u, moved)
        passive = passive & (u > 0)
        barred = tf.where(refused, barred | fresh, barred & ~tf.reduce_any(fresh))
        w = -(tf.linalg.matvec(Q, u) + c)
        slack = 10 * t * EPSILON * (1 + tf.reduce_sum(u))  # rounding error of w
        wanted = active & ~passive & ~barred & (w > slack)
        settled = refused | ~tf.reduce_any(wrong)
        steepest = tf.one_hot(tf.argmax(tf.where(wanted, w, -1.0)), t, True, False)
        done = (settled & ~tf.reduce_any(wanted)) | ~(sound | refused)
        return k + 1, passive | (wanted & steepest & settled), u, barred, done

    none = tf.zeros([t], tf.bool)
    start = tf.constant(0), none, tf.zeros_like(c), none, tf.constant(False)
    _, _, u, _, _ = tf.while_loop(lambda k, *state: (k < 10 * t) & ~state[-1], turn, start)
    return bound + u * size / length


def _solved(Q, c, passive):
    """Minimum of 1/2 s'Qs + c's over the unknowns in `passive`, others 0; NaN if their block is singular."""
    own = passive & passive[:, tf.newaxis]
    root = tf.linalg.cholesky(tf.where(own, Q, tf.eye(len(c), dtype=Q.dtype)))
    s = tf.linalg.cholesky_solve(root, tf.where(passive, -c, 0.0)[:, tf.newaxis])[:, 0]
    return tf.where(passive, s, 0.0)
