// One block of M3GNet (bond_update.py): three gated networks, which rows of bonds pass in blocks that stay in the
// cache, and the sum of the messages. The way back makes the hidden layers anew. Sums by index are made row after row
// by threads that own columns, so that results do not depend on their number.
#include "gates.hpp"

template <typename T>
using wide = typename Block<T>::type;
template <typename T>
INLINE Vec<T> read(const T* p) {  // from memory that is not ours
    return *(const wide<T>*)p;
}

// Packed matrices lie one behind the other: that of the angles' network and its way back, then for each of two
// networks the bonds' part of the first layer and its way back, the weights of the radial functions, and for each
// further layer both halves and their ways back.
template <typename T>
struct Problem {
    index_t rows, atoms, width, depth, functions, sums, activated;
    const T *bonds, *found, *tables, *r, *radial, *slopes;
    const index_t *centers, *neighbors, *targets;
    const T *weights, *biases, *zeros;

    static index_t room(index_t inner, index_t columns) {
        return inner * ((columns + PANEL<T> - 1) / PANEL<T> * PANEL<T>);
    }
    const T* angles() const { return weights; }
    const T* angles_back() const { return weights + room(sums, 2 * width); }
    const T* own(index_t net) const {
        const index_t c = width, square = room(c, c), first = room(c, 2 * c) + room(2 * c, c) + room(functions, c);
        return angles_back() + room(2 * c, sums) + net * (first + 4 * (depth - 1) * square);
    }
    const T* own_back(index_t net) const { return own(net) + room(width, 2 * width); }
    const T* of_radial(index_t net) const { return own_back(net) + room(2 * width, width); }
    const T* hidden(index_t net, index_t l, index_t half, index_t back) const {
        return of_radial(net) + room(functions, width) + ((2 * l + half) * 2 + back) * room(width, width);
    }
    const T* bias(index_t net, index_t l) const { return biases + (net * (depth - 1) + l) * 2 * width; }
};

// What a thread keeps of a block of rows: values and gates lie side by side, `2 width` a row.
template <typename T>
struct Memory {
    T *bonds, *angles, *pull, *other, *gradient;
    T *weights[2], *products[2], *hidden[2];  // hidden: layers of a network one behind the other, see `gated`
    index_t layer_size;
    static index_t size(const Problem<T>& q) { return CHUNK * q.width * (12 + 4 * q.depth); }
    Memory(const Problem<T>& q, Scratch<T>& s) : layer_size(CHUNK * 2 * q.width) {
        bonds = s.take(CHUNK * q.width), gradient = s.take(CHUNK * q.width);
        angles = s.take(layer_size), pull = s.take(layer_size), other = s.take(layer_size);
        for (int net = 0; net < 2; ++net) {
            weights[net] = s.take(CHUNK * q.width), products[net] = s.take(CHUNK * q.width);
            hidden[net] = s.take(q.depth * layer_size);
        }
    }
};

// silu(value) times sigmoid(gate). With `keep` the slopes by both take their places.
template <typename T, bool keep>
INLINE Vec<T> opened(T* row, index_t n, index_t width) {
    const Vec<T> value = at(row + n), s = logistic<T>(value), open = logistic<T>(at(row + width + n));
    const Vec<T> product = value * s * open;
    if (keep) at(row + n) = open * silu_slope<T>(value, s), at(row + width + n) = product * (1 - open);
    return product;
}

// Bonds after the angles' network; its last layer, or with `keep` the slopes, stay in `angles`.
template <typename T, bool keep>
void bend(const Problem<T>& q, const Memory<T>& m, index_t begin, index_t rows) {
    const index_t c = q.width;
    layer<T>(rows, q.sums, 2 * c, q.found + begin * q.sums, q.angles(), q.zeros, m.angles, q.sums, 2 * c);
    for (index_t r = 0; r < rows; ++r)
        for (index_t n = 0; n < c; n += Lanes<T>::count)
            at(m.bonds + r * c + n) =
                read(q.bonds + (begin + r) * c + n) + opened<T, keep>(m.angles + 2 * r * c, n, c);
}

// A network's last layer from `m.bonds`, and the weights of its rows. With `keep`, hidden layers are replaced by the
// slopes of their activations, which the way back needs.
template <typename T, bool keep>
T* gated(const Problem<T>& q, const Memory<T>& m, index_t net, index_t begin, index_t rows) {
    const index_t c = q.width, size = 2 * rows * c;
    T* x = m.hidden[net];
    for (index_t r = 0; r < rows; ++r) {
        const T* center = q.tables + q.centers[begin + r] * 8 * c + 2 * net * c;
        const T* neighbor = q.tables + q.neighbors[begin + r] * 8 * c + (4 + 2 * net) * c;
        for (index_t n = 0; n < 2 * c; n += Lanes<T>::count)
            at(x + 2 * r * c + n) = read(center + n) + read(neighbor + n);
    }
    layer<T>(rows, c, 2 * c, m.bonds, q.own(net), q.zeros, x, c, 2 * c, 1);
    for (index_t l = 0; l + 1 < q.depth; ++l) {
        T *next = m.hidden[net] + (l + 1) * m.layer_size, *active = keep ? m.other : x;
        for (index_t n = 0; n < size; n += Lanes<T>::count) {
            const Vec<T> v = at(x + n), s = logistic<T>(v);
            at(active + n) = v * s;
            if (keep) at(x + n) = silu_slope<T>(v, s);
        }
        for (index_t half = 0; half < 2; ++half)
            layer<T>(rows, c, c, active + half * c, q.hidden(net, l, half, 0), q.bias(net, l) + half * c,
                     next + half * c, 2 * c, 2 * c);
        x = next;
    }
    layer<T>(rows, q.functions, c, q.radial + begin * q.functions, q.of_radial(net), q.zeros, m.weights[net],
             q.functions, c);
    return x;
}

template <typename T>
INLINE Vec<T> weight(const Problem<T>& q, index_t net, const T* place) {
    const Vec<T> w = at(place);
    return net && q.activated ? w * logistic<T>(w) : w;
}

// New bonds, and messages `[rows, width]`.
template <typename T>
void values(const Problem<T>& q, const Memory<T>& m, index_t begin, index_t rows, T* made, T* messages) {
    const index_t c = q.width;
    bend<T, false>(q, m, begin, rows);
    for (index_t net = 0; net < 2; ++net) {
        T* x = gated<T, false>(q, m, net, begin, rows);
        for (index_t r = 0; r < rows; ++r)
            for (index_t n = 0; n < c; n += Lanes<T>::count) {
                const Vec<T> v = opened<T, false>(x + 2 * r * c, n, c) * weight(q, net, m.weights[net] + r * c + n);
                if (net) at(messages + r * c + n) = v;
                else *(wide<T>*)(made + (begin + r) * c + n) = at(m.bonds + r * c + n) += v;
            }
    }
}

// From the gradient of a network's weighted output (rows `step` apart) to that of its first layer, `made`, of the
// bonds, added to m.gradient, and of distances, added to `distances`.
template <typename T>
void pull_network(const Problem<T>& q, const Memory<T>& m, index_t net, index_t begin, index_t rows,
                  const T* const* given, T* made, index_t made_step, T* distances) {
    const index_t c = q.width;
    const T* last = m.hidden[net] + (q.depth - 1) * m.layer_size;
    T* d = m.pull;
    // slopes of the weights with the distance
    layer<T>(rows, q.functions, c, q.slopes + begin * q.functions, q.of_radial(net), q.zeros, m.other, q.functions,
             c);
    for (index_t r = 0; r < rows; ++r) {
        Vec<T> along = {};
        for (index_t n = 0; n < c; n += Lanes<T>::count) {
            const Vec<T> g = read(given[r] + n), bare = at(m.weights[net] + r * c + n);
            Vec<T> w = bare, slope = at(m.other + r * c + n);
            if (net && q.activated) {
                const Vec<T> s = logistic<T>(bare);
                w = bare * s, slope *= silu_slope<T>(bare, s);
            }
            along += g * slope * at(m.products[net] + r * c + n);
            at(d + 2 * r * c + n) = g * w * at(last + 2 * r * c + n);
            at(d + (2 * r + 1) * c + n) = g * w * at(last + (2 * r + 1) * c + n);
        }
        distances[begin + r] += sum<T>(along);
    }
    for (index_t l = q.depth - 2; l >= 0; --l) {
        const T* slopes = m.hidden[net] + l * m.layer_size;
        T* next = d == m.pull ? m.other : m.pull;
        for (index_t half = 0; half < 2; ++half)
            layer<T>(rows, c, c, d + half * c, q.hidden(net, l, half, 1), q.zeros, next + half * c, 2 * c, 2 * c);
        for (index_t n = 0; n < 2 * rows * c; n += Lanes<T>::count) at(next + n) *= at(slopes + n);
        d = next;
    }
    layer<T>(rows, 2 * c, c, d, q.own_back(net), q.zeros, m.gradient, 2 * c, c, 1);
    for (index_t r = 0; r < rows; ++r)
        for (index_t n = 0; n < 2 * c; n += Lanes<T>::count) at(made + r * made_step + n) = at(d + 2 * r * c + n);
}

template <typename T>
struct Gradients {
    T *bonds, *found, *tables, *r;
};

template <typename T>
void pull_values(const Problem<T>& q, const Memory<T>& m, index_t begin, index_t rows, const T* given_bonds,
                 const T* given_atoms, const Gradients<T>& to, T* firsts) {
    const index_t c = q.width;
    const T* given[CHUNK];
    bend<T, true>(q, m, begin, rows);
    for (index_t net = 0; net < 2; ++net) {
        T* x = gated<T, true>(q, m, net, begin, rows);
        for (index_t r = 0; r < rows; ++r)
            for (index_t n = 0; n < c; n += Lanes<T>::count) {
                const Vec<T> v = at(m.products[net] + r * c + n) = opened<T, true>(x + 2 * r * c, n, c);
                if (!net) at(m.bonds + r * c + n) += v * at(m.weights[0] + r * c + n);
            }
    }
    for (index_t r = 0; r < rows; ++r) {
        to.r[begin + r] = 0;
        given[r] = given_atoms + q.targets[begin + r] * c;
        for (index_t n = 0; n < c; n += Lanes<T>::count)
            at(m.gradient + r * c + n) = read(given_bonds + (begin + r) * c + n);
    }
    pull_network(q, m, 1, begin, rows, given, firsts + 2 * c, 4 * c, to.r);
    // the bonds' gradient changes while its rows are read, each only after it was
    for (index_t r = 0; r < rows; ++r) given[r] = m.gradient + r * c;
    pull_network(q, m, 0, begin, rows, given, firsts, 4 * c, to.r);
    for (index_t r = 0; r < rows; ++r)
        for (index_t n = 0; n < c; n += Lanes<T>::count) {
            const Vec<T> g = at(m.gradient + r * c + n);
            at(m.angles + 2 * r * c + n) *= g, at(m.angles + (2 * r + 1) * c + n) *= g;
            *(wide<T>*)(to.bonds + (begin + r) * c + n) = g;
        }
    layer<T>(rows, 2 * c, q.sums, m.angles, q.angles_back(), q.zeros, to.found + begin * q.sums, 2 * c, q.sums);
}

// Adds rows, `step` long, to rows of `made` by index, those columns that a thread owns.
template <typename T>
void add_rows(index_t rows, index_t columns, const T* from, const index_t* index, T* made, index_t made_step) {
    const index_t parts = omp_get_num_threads(), own = omp_get_thread_num(), blocks = columns / Lanes<T>::count;
    const index_t begin = blocks * own / parts * Lanes<T>::count, end = blocks * (own + 1) / parts * Lanes<T>::count;
    for (index_t r = 0; r < rows; ++r)
        for (index_t n = begin; n < end; n += Lanes<T>::count)
            *(wide<T>*)(made + index[r] * made_step + n) += at(from + r * columns + n);
}

template <typename T>
void forward(const Problem<T>& q, T* made, T* sums, index_t threads) {
    const index_t c = q.width, batch = 4 * CHUNK * threads;
    std::fill(sums, sums + q.atoms * c, T(0));
    Scratch<T> shared(batch * c);
    T* messages = shared.take(batch * c);
#pragma omp parallel num_threads(threads) if (q.rows > CHUNK)
    {
        Scratch<T> scratch(Memory<T>::size(q));
        const Memory<T> memory(q, scratch);
        for (index_t start = 0; start < q.rows; start += batch) {
            const index_t end = std::min(start + batch, q.rows);
#pragma omp for schedule(static)
            for (index_t b = start; b < end; b += CHUNK)
                values(q, memory, b, std::min(CHUNK, end - b), made, messages + (b - start) * c);
            add_rows(end - start, c, messages, q.targets + start, sums, c);
#pragma omp barrier
        }
    }
}

template <typename T>
void backward(const Problem<T>& q, const T* given_bonds, const T* given_atoms, const Gradients<T>& to,
              index_t threads) {
    const index_t c = q.width, batch = 4 * CHUNK * threads;
    std::fill(to.tables, to.tables + q.atoms * 8 * c, T(0));
    Scratch<T> shared(batch * 4 * c);
    T* firsts = shared.take(batch * 4 * c);
#pragma omp parallel num_threads(threads) if (q.rows > CHUNK)
    {
        Scratch<T> scratch(Memory<T>::size(q));
        const Memory<T> memory(q, scratch);
        for (index_t start = 0; start < q.rows; start += batch) {
            const index_t end = std::min(start + batch, q.rows);
#pragma omp for schedule(static)
            for (index_t b = start; b < end; b += CHUNK)
                pull_values(q, memory, b, std::min(CHUNK, end - b), given_bonds, given_atoms, to,
                            firsts + (b - start) * 4 * c);
            add_rows(end - start, 4 * c, firsts, q.centers + start, to.tables, 8 * c);
            add_rows(end - start, 4 * c, firsts, q.neighbors + start, to.tables + 4 * c, 8 * c);
#pragma omp barrier
        }
    }
}

#define GIVEN(T)                                                                                                   \
    index_t rows, index_t atoms, index_t width, index_t depth, index_t functions, index_t sums, index_t activated, \
        const T *bonds, const T *found, const T *tables, const T *r, const T *radial, const T *slopes,             \
        const index_t *centers, const index_t *neighbors, const index_t *targets, const T *weights,                \
        const T *biases, const T *zeros
#define PROBLEM(T)                                                                                                  \
    (Problem<T>{rows, atoms, width, depth, functions, sums, activated, bonds, found, tables, r, radial, slopes,     \
                centers, neighbors, targets, weights, biases, zeros})
#define GIVEN_VALUES                                                                                            \
    rows, atoms, width, depth, functions, sums, activated, bonds, found, tables, r, radial, slopes, centers,    \
        neighbors, targets, weights, biases, zeros

template <typename T>
void push(GIVEN(T), T* made, T* messages, index_t threads) {
    forward(PROBLEM(T), made, messages, threads);
}
template <typename T>
void pull(GIVEN(T), const T* given_bonds, const T* given_atoms, T* made_bonds, T* made_found, T* made_tables,
          T* made_r, index_t threads) {
    backward(PROBLEM(T), given_bonds, given_atoms, Gradients<T>{made_bonds, made_found, made_tables, made_r}, threads);
}
#define PUSH(T) (GIVEN(T), T* made, T* messages, index_t threads)
#define PULL(T)                                                                                                   \
    (GIVEN(T), const T* given_bonds, const T* given_atoms, T* made_bonds, T* made_found, T* made_tables, T* made_r, \
     index_t threads)
EXPORT(push, PUSH, (GIVEN_VALUES, made, messages, threads))
EXPORT(pull, PULL, (GIVEN_VALUES, given_bonds, given_atoms, made_bonds, made_found, made_tables, made_r, threads))
