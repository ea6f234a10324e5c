// Ensembles of one network per element, and their gradient (element_networks.py).
//
// Atoms are sorted by element and taken a few dozen at a time through all layers of all members, so that what lies
// between layers stays in the cache. Rows of descriptors are mostly zeros, of elements that are not near: panels of
// columns that are zero for all atoms of a chunk do not enter the first layer.
#include <limits>
#include <numeric>

#include "lanes.hpp"
#include "tiles.hpp"

template <typename T>
struct Problem {
    index_t atoms, kinds, members, hidden, size, room, activation;
    const index_t *widths, *places;
    const T* values;
    const index_t* kind;
    const T* features;
    index_t width(index_t e, index_t layer) const { return widths[e * hidden + layer]; }
    // part 0: weight, 1: its transpose, 2: bias
    const T* value(index_t e, index_t layer, index_t member, index_t part) const {
        return values + places[((e * (hidden + 1) + layer) * members + member) * 3 + part];
    }
};

struct Chunk {  // atoms of one element, from place `begin` on among the sorted ones
    index_t kind, begin, count;
};

template <typename T>
struct Order {
    std::vector<index_t> atoms;
    std::vector<Chunk> chunks;
    explicit Order(const Problem<T>& q) : atoms(q.atoms) {
        std::iota(atoms.begin(), atoms.end(), 0);
        std::stable_sort(atoms.begin(), atoms.end(), [&](index_t a, index_t b) { return q.kind[a] < q.kind[b]; });
        for (index_t s = 0; s < q.atoms;) {
            const index_t e = q.kind[atoms[s]], begin = s;
            while (s < q.atoms && s < begin + CHUNK && q.kind[atoms[s]] == e) ++s;
            chunks.push_back({e, begin, s - begin});
        }
    }
};

// A value becomes the activation's, `slope` its derivative.
template <typename T>
INLINE void activate(index_t activation, Vec<T>& v, Vec<T>& slope) {
    const Vec<T> zero = {}, one = spread<T>(1);
    switch (activation) {
        case 0: {
            const Vec<T> g = exponential<T>((v < zero ? v : zero) * (T)10);
            slope = v < zero ? g : one;
            v = v < zero ? (g - 1) * (T)0.1 : v;
            break;
        }
        case 1: {
            const Vec<T> top = spread<T>(20), x = v > top ? top : v, g = exponential<T>(2 * x);
            v = 1 - 2 / (g + 1), slope = 1 - v * v;
            break;
        }
        default: {
            const Vec<T> g = exponential<T>(v * v * (T)-0.5);
            slope = -v * g, v = g;
        }
    }
}

// What one thread needs for one chunk after the other.
template <typename T>
struct Worker {
    static constexpr index_t panel = PANEL<T>, lanes = Lanes<T>::count;
    const Problem<T>& q;
    const index_t* atoms;
    index_t widest = 0;
    std::vector<T> rows, from, to, none;
    std::vector<index_t> chosen;  // panels of features that are not zero

    Worker(const Problem<T>& q, const index_t* atoms) : q(q), atoms(atoms) {
        widest = *std::max_element(q.widths, q.widths + q.kinds * q.hidden);
        rows.resize(CHUNK * (q.size + panel));
        from.resize(CHUNK * q.members * widest + lanes), to.resize(from.size());
        none.resize(std::max(widest, q.size) + panel);
    }

    // Finds the panels in use and writes them side by side.
    void pick(const Chunk& chunk) {
        chosen.clear();
        for (index_t p = 0; p * panel < q.size; ++p) {
            const index_t end = std::min(panel, q.size - p * panel);
            bool used = false;
            for (index_t r = 0; r < chunk.count && !used; ++r) {
                const T* row = q.features + atoms[chunk.begin + r] * q.size + p * panel;
                for (index_t k = 0; k < end; ++k) used |= row[k] != 0;
            }
            if (used) chosen.push_back(p);
        }
    }

    index_t step() const { return chosen.size() * panel; }

    void copy(const Chunk& chunk) {
        for (index_t r = 0; r < chunk.count; ++r)
            for (size_t s = 0; s < chosen.size(); ++s) {
                const index_t p = chosen[s];
                const T* row = q.features + atoms[chunk.begin + r] * q.size + p * panel;
                std::copy(row, row + std::min(panel, q.size - p * panel), &rows[r * step() + s * panel]);
            }
    }

    void multiply(const Chunk& chunk, const Product<T>& product) {
        for (index_t column = 0; column < product.columns; column += panel)
            tiles<T>(product, 0, chunk.count, column);
    }

    // kept: slopes of the activations, a block for each layer behind the other
    void forward(const Chunk& chunk, T* energies, T* kept) {
        const index_t e = chunk.kind, count = chunk.count, m = q.members;
        pick(chunk);
        copy(chunk);
        for (index_t layer = 0; layer < q.hidden; ++layer) {
            const index_t width = q.width(e, layer), before = layer ? q.width(e, layer - 1) : 0;
            if (!layer) {
                Product<T> product(q.size, m * width, 0, rows.data(), q.value(e, 0, 0, 0), q.value(e, 0, 0, 2),
                                   to.data(), step(), m * width);
                product.chosen = chosen.data(), product.runs = chosen.size(), product.run = panel;
                multiply(chunk, product);
            }
            for (index_t n = 0; n < m && layer; ++n)
                multiply(chunk, Product<T>(before, width, 0, &from[n * before], q.value(e, layer, n, 0),
                                           q.value(e, layer, n, 2), &to[n * width], m * before, m * width));
            for (index_t k = 0; k < count * m * width; k += lanes) {
                const index_t some = std::min(lanes, count * m * width - k);
                Vec<T> v = {}, slope;
                std::copy(&to[k], &to[k] + some, (T*)&v);
                activate<T>(q.activation, v, slope);
                std::copy((T*)&v, (T*)&v + some, &to[k]);
                std::copy((T*)&slope, (T*)&slope + some, kept + k);
            }
            kept += count * m * width;
            std::swap(from, to);
        }
        const index_t width = q.width(e, q.hidden - 1);
        for (index_t n = 0; n < m; ++n)
            for (index_t r = 0; r < count; ++r) {
                const T *row = &from[(r * m + n) * width], *weight = q.value(e, q.hidden, n, 0);
                T total = 0;
#pragma omp simd reduction(+ : total)
                for (index_t k = 0; k < width; ++k) total += row[k] * weight[k];
                energies[n * q.atoms + atoms[chunk.begin + r]] = total + *q.value(e, q.hidden, n, 2);
            }
    }

    void backward(const Chunk& chunk, const T* kept, const T* given, T* made) {
        const index_t e = chunk.kind, count = chunk.count, m = q.members;
        for (index_t layer = 0; layer < q.hidden; ++layer) kept += count * m * q.width(e, layer);
        index_t width = q.width(e, q.hidden - 1);
        kept -= count * m * width;
        for (index_t r = 0; r < count; ++r)
            for (index_t n = 0; n < m; ++n) {
                const T *weight = q.value(e, q.hidden, n, 0), *slope = kept + (r * m + n) * width;
                const T own = given[n * q.atoms + atoms[chunk.begin + r]];
                for (index_t k = 0; k < width; ++k) from[(r * m + n) * width + k] = own * weight[k] * slope[k];
            }
        for (index_t layer = q.hidden - 1; layer; --layer) {
            const index_t before = q.width(e, layer - 1);
            for (index_t n = 0; n < m; ++n)
                multiply(chunk, Product<T>(width, before, 0, &from[n * width], q.value(e, layer, n, 1), none.data(),
                                           &to[n * before], m * width, m * before));
            kept -= count * m * before;
            for (index_t k = 0; k < count * m * before; ++k) to[k] *= kept[k];
            std::swap(from, to);
            width = before;
        }
        pick(chunk);
        for (index_t r = 0; r < count; ++r) {
            T* row = made + atoms[chunk.begin + r] * q.size;
            std::fill(row, row + q.size, T(0));
        }
        for (size_t s = 0; s < chosen.size(); ++s) {
            const index_t begin = chosen[s] * panel, end = std::min(panel, q.size - begin);
            multiply(chunk, Product<T>(m * width, end, 0, from.data(), q.value(e, 0, 0, 1) + begin * m * width,
                                       none.data(), rows.data(), m * width, panel));
            for (index_t r = 0; r < count; ++r)
                std::copy(&rows[r * panel], &rows[r * panel] + end, made + atoms[chunk.begin + r] * q.size + begin);
        }
    }
};

template <typename T, typename F>
void sweep(const Problem<T>& q, T* made, index_t count, index_t threads, F&& use) {
    if (std::any_of(q.kind, q.kind + q.atoms, [&](index_t e) { return e < 0 || e >= q.kinds; })) {
        std::fill(made, made + count, std::numeric_limits<T>::quiet_NaN());
        return;
    }
    const Order<T> order(q);
    const index_t chunks = order.chunks.size();
#pragma omp parallel num_threads(threads) if (chunks > 1)
    {
        Worker<T> worker(q, order.atoms.data());
#pragma omp for schedule(dynamic)
        for (index_t c = 0; c < chunks; ++c) use(worker, order.chunks[c]);
    }
}

template <typename T>
void forward(const Problem<T>& q, T* energies, T* kept, index_t threads) {
    sweep(q, energies, q.members * q.atoms, threads, [&](Worker<T>& worker, const Chunk& chunk) {
        worker.forward(chunk, energies, kept + chunk.begin * q.room);
    });
}

template <typename T>
void backward(const Problem<T>& q, const T* kept, const T* given, T* made, index_t threads) {
    sweep(q, made, q.atoms * q.size, threads, [&](Worker<T>& worker, const Chunk& chunk) {
        worker.backward(chunk, kept + chunk.begin * q.room, given, made);
    });
}

#define GIVEN(T)                                                                                                  \
    index_t atoms, index_t kinds, index_t members, index_t hidden, index_t size, index_t room, index_t activation, \
        const index_t *widths, const index_t *places, const T *values, const index_t *kind, const T *features
#define PROBLEM(T)                                                                                                \
    const Problem<T> q{atoms, kinds, members, hidden, size, room, activation, widths, places, values, kind, features}
#define EXPORTS(name, T)                                                                                          \
    extern "C" void forward_##name(GIVEN(T), T* energies, T* kept, index_t threads) {                             \
        PROBLEM(T);                                                                                               \
        forward(q, energies, kept, threads);                                                                      \
    }                                                                                                             \
    extern "C" void backward_##name(GIVEN(T), const T* kept, const T* given, T* made, index_t threads) {          \
        PROBLEM(T);                                                                                               \
        backward(q, kept, given, made, threads);                                                                  \
    }
EXPORTS(f32, float)
EXPORTS(f64, double)
