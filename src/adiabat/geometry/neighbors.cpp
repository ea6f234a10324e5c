// All pairs of atoms within a cutoff, images among them, sorted by center, neighbor and shift (neighbors.py).
//
// Atoms are wrapped into a cell of short vectors; they and their images within reach are sorted into bins, and each
// atom looks through the rows of bins around it. As every pair is found from either end, what the atoms find one
// after the other, handed to the other end, is sorted there: nothing depends on the bins.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

typedef int64_t index_t;

constexpr double SLACK = 1e-6;  // Å; positions up to 1e6 Å are rounded by far less
constexpr index_t ODD = -1, TOO_LARGE = -2;

struct Vector {
    double x, y, z;
    double& operator[](int k) { return k == 0 ? x : k == 1 ? y : z; }
    double operator[](int k) const { return k == 0 ? x : k == 1 ? y : z; }
};
static Vector operator+(Vector a, Vector b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
static Vector operator-(Vector a, Vector b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
static Vector operator*(double s, Vector a) { return {s * a.x, s * a.y, s * a.z}; }
static double dot(Vector a, Vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static Vector cross(Vector a, Vector b) {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
static Vector unit(Vector a) { return 1 / std::sqrt(dot(a, a)) * a; }

struct Step {  // whole lattice vectors
    index_t x, y, z;
    bool operator<(const Step& b) const { return x != b.x ? x < b.x : y != b.y ? y < b.y : z < b.z; }
};

// A lattice by short vectors: given ones that do not repeat are replaced by unit normals.
struct Lattice {
    Vector box[3], dual[3];  // dual: a point's coordinates are its products with these
    index_t steps[3][3];     // box = steps times the given vectors
    bool repeats[3];

    // false if the vectors are so short or so nearly dependent that somebody should look at them
    bool set(const double* cell, const uint8_t* pbc) {
        double lengths = 1;
        for (int k = 0; k < 3; ++k) {
            box[k] = {cell[3 * k], cell[3 * k + 1], cell[3 * k + 2]}, repeats[k] = pbc[k];
            for (int l = 0; l < 3; ++l) steps[k][l] = k == l;
            if (!repeats[k]) continue;
            const double square = dot(box[k], box[k]);
            if (!(square > 1e-4) || !std::isfinite(square)) return false;
            lengths *= square;
        }
        complete();
        const double volume = dot(box[0], cross(box[1], box[2]));
        if (!(volume * volume > 1e-9 * lengths)) return false;
        reduce();
        const double inverse = 1 / dot(box[0], cross(box[1], box[2]));
        for (int k = 0; k < 3; ++k) {
            if (repeats[k] && !(dot(box[k], box[k]) > 1e-4)) return false;
            dual[k] = inverse * cross(box[(k + 1) % 3], box[(k + 2) % 3]);
        }
        return true;
    }

    void complete() {
        const int many = repeats[0] + repeats[1] + repeats[2];
        if (many == 0) box[0] = {1, 0, 0}, box[1] = {0, 1, 0}, box[2] = {0, 0, 1};
        if (many == 1) {
            const int k = repeats[0] ? 0 : repeats[1] ? 1 : 2;
            const Vector a = unit(box[k]), axis = std::abs(a.x) < 0.7 ? Vector{1, 0, 0} : Vector{0, 1, 0};
            box[(k + 1) % 3] = unit(cross(a, axis)), box[(k + 2) % 3] = cross(a, box[(k + 1) % 3]);
        }
        if (many == 2) {
            const int k = !repeats[0] ? 0 : !repeats[1] ? 1 : 2;
            box[k] = unit(cross(box[(k + 1) % 3], box[(k + 2) % 3]));
        }
    }

    void reduce() {
        bool changed = true;
        for (int round = 0; round < 1000 && changed; ++round) {
            changed = false;
            for (int a = 0; a < 3; ++a)
                for (int b = 0; b < 3; ++b) {
                    if (a == b || !repeats[a] || !repeats[b]) continue;
                    const double count = std::nearbyint(dot(box[a], box[b]) / dot(box[b], box[b]));
                    const Vector shorter = box[a] - count * box[b];
                    if (count == 0 || dot(shorter, shorter) >= (1 - 1e-12) * dot(box[a], box[a])) continue;
                    box[a] = shorter, changed = true;
                    for (int l = 0; l < 3; ++l) steps[a][l] -= (index_t)count * steps[b][l];
                }
        }
    }

    Step given(const index_t* s) const {  // s box vectors as given ones
        index_t to[3];
        for (int l = 0; l < 3; ++l) to[l] = s[0] * steps[0][l] + s[1] * steps[1][l] + s[2] * steps[2][l];
        return {to[0], to[1], to[2]};
    }
    Vector offset(const index_t* s) const {  // of -s the exact opposite
        return (double)s[0] * box[0] + (double)s[1] * box[1] + (double)s[2] * box[2];
    }
};

// Points sorted into bins; those of a row along x lie one behind the other.
struct Bins {
    Vector low, inverse, edge;
    index_t count[3];
    std::vector<index_t> begin;

    Bins(Vector low, Vector high, index_t points, double cutoff) : low(low) {
        const double wanted[3] = {cutoff / 4, cutoff, cutoff};
        double many[3], total = 1;
        for (int k = 0; k < 3; ++k) total *= many[k] = std::max(1.0, std::floor((high[k] - low[k]) / wanted[k]));
        while (total > 2.0 * (double)points) {
            double& most = *std::max_element(many, many + 3);
            total /= most, most = std::floor((most + 1) / 2), total *= most;
        }
        for (int k = 0; k < 3; ++k) {
            count[k] = (index_t)many[k], edge[k] = (high[k] - low[k]) / many[k];
            inverse[k] = edge[k] > 0 ? 1 / edge[k] : 0;
        }
    }

    index_t along(int k, double value) const {
        const double place = (value - low[k]) * inverse[k];
        return place > 0 ? std::min((index_t)std::min(place, 1e15), count[k] - 1) : 0;
    }
    index_t of(Vector p) const { return (along(2, p.z) * count[1] + along(1, p.y)) * count[0] + along(0, p.x); }
    double away(int k, index_t bin, double value) const {  // distance of a value from a bin
        const double from = low[k] + (double)bin * edge[k];
        return std::max(0.0, std::max(from - value, value - from - edge[k]) - SLACK);
    }

    // the places that a sort puts the points at
    std::vector<int32_t> sort(const std::vector<Vector>& points) {
        std::vector<index_t> bin(points.size());
        begin.assign(count[0] * count[1] * count[2] + 1, 0);
        for (size_t p = 0; p < points.size(); ++p) ++begin[(bin[p] = of(points[p])) + 1];
        for (size_t b = 1; b < begin.size(); ++b) begin[b] += begin[b - 1];
        std::vector<index_t> next(begin.begin(), begin.end() - 1);
        std::vector<int32_t> place(points.size());
        for (size_t p = 0; p < points.size(); ++p) place[p] = (int32_t)next[bin[p]]++;
        return place;
    }
};

// What the atoms of a system have found.
struct Found {
    index_t first, atoms;
    std::vector<Step> moved, images;   // of atoms, of images; in given lattice vectors
    std::vector<int32_t> atom, image;  // of points
    std::vector<int32_t> hits;         // points, those of each atom behind those of the atom before
    std::vector<index_t> ends;         // in hits, of each atom
};

class Search {
    Lattice lattice;
    double cutoff, limit, nearest;
    std::vector<Vector> home, points, offsets;  // atoms wrapped into the cell; they and images; of images
    std::vector<double> x, y, z, square;
    Vector low, high;
    Found& found;

  public:
    Search(Found& found, double cutoff, double nearest)
        : cutoff(cutoff), limit(cutoff + SLACK), nearest(nearest), found(found) {}

    // false for a lattice that somebody should look at, and for atoms closer than `nearest`
    bool run(const double* positions, const double* cell, const uint8_t* pbc) {
        if (!lattice.set(cell, pbc)) return false;
        wrap(positions);
        repeat();
        Bins bins(low, high, (index_t)points.size(), cutoff);
        arrange(bins.sort(points));
        found.ends.resize(found.atoms);
        std::vector<int32_t> close(points.size());
        for (index_t i = 0; i < found.atoms; ++i) {
            if (!keep(i, close.data(), candidates(bins, home[i], close.data()))) return false;
            found.ends[i] = (index_t)found.hits.size();
        }
        return true;
    }

  private:
    void wrap(const double* positions) {
        home.resize(found.atoms), found.moved.resize(found.atoms);
        for (index_t i = 0; i < found.atoms; ++i) {
            const Vector p = ((const Vector*)positions)[i];
            index_t s[3];
            for (int k = 0; k < 3; ++k) s[k] = lattice.repeats[k] ? (index_t)std::floor(dot(p, lattice.dual[k])) : 0;
            home[i] = p - lattice.offset(s), found.moved[i] = lattice.given(s);
        }
    }

    // all images within the cutoff of the box around the atoms, the atoms themselves first
    void repeat() {
        std::vector<Vector> place(found.atoms);
        low = high = home[0];
        Vector least = {INFINITY, INFINITY, INFINITY}, most = {-INFINITY, -INFINITY, -INFINITY};
        for (index_t i = 0; i < found.atoms; ++i)
            for (int k = 0; k < 3; ++k) {
                place[i][k] = dot(home[i], lattice.dual[k]);
                least[k] = std::min(least[k], place[i][k]), most[k] = std::max(most[k], place[i][k]);
                low[k] = std::min(low[k], home[i][k]), high[k] = std::max(high[k], home[i][k]);
            }
        points = home, found.image.assign(found.atoms, 0), found.atom.resize(found.atoms);
        for (index_t i = 0; i < found.atoms; ++i) found.atom[i] = (int32_t)i;
        found.images = {{0, 0, 0}}, offsets = {{0, 0, 0}};
        index_t from[3] = {0, 0, 0}, to[3] = {0, 0, 0}, s[3];
        bool any = false;
        double many = (double)found.atoms;
        for (int k = 0; k < 3; ++k) {
            low[k] -= limit, high[k] += limit;
            if (!lattice.repeats[k]) continue;
            const double reach = limit * std::sqrt(dot(lattice.dual[k], lattice.dual[k])) + 1e-9;
            least[k] -= reach, most[k] += reach, any = true;
            from[k] = (index_t)std::ceil(least[k] - most[k] + reach), to[k] = -from[k];
            many *= (double)(2 * to[k] + 1);
        }
        if (many > INT32_MAX / 2) throw std::bad_alloc();
        if (!any) return;
        for (s[0] = from[0]; s[0] <= to[0]; ++s[0])
            for (s[1] = from[1]; s[1] <= to[1]; ++s[1])
                for (s[2] = from[2]; s[2] <= to[2]; ++s[2])
                    if (s[0] || s[1] || s[2]) copy(s, place, least, most);
    }

    void copy(const index_t* s, const std::vector<Vector>& place, Vector least, Vector most) {
        const Vector offset = lattice.offset(s), by = {(double)s[0], (double)s[1], (double)s[2]};
        const size_t before = points.size();
        for (index_t i = 0; i < found.atoms; ++i) {
            const Vector there = place[i] + by, p = home[i] + offset;
            bool inside = true;
            for (int k = 0; k < 3; ++k) {
                inside &= !lattice.repeats[k] || (there[k] >= least[k] && there[k] <= most[k]);
                inside &= p[k] >= low[k] && p[k] <= high[k];
            }
            if (!inside) continue;
            points.push_back(p), found.atom.push_back((int32_t)i);
            found.image.push_back((int32_t)offsets.size());
        }
        if (points.size() > before) offsets.push_back(offset), found.images.push_back(lattice.given(s));
    }

    void arrange(const std::vector<int32_t>& place) {
        const size_t count = points.size();
        std::vector<int32_t> atom(count), image(count);
        for (std::vector<double>* own : {&x, &y, &z, &square}) own->resize(count);
        for (size_t p = 0; p < count; ++p) {
            const int32_t to = place[p];
            x[to] = points[p].x, y[to] = points[p].y, z[to] = points[p].z;
            atom[to] = found.atom[p], image[to] = found.image[p];
        }
        found.atom.swap(atom), found.image.swap(image);
    }

    // points hardly farther than the cutoff; how many
    index_t candidates(const Bins& bins, Vector c, int32_t* close) {
        index_t many = 0;
        const index_t last_y = bins.along(1, c.y + limit), last_z = bins.along(2, c.z + limit);
        for (index_t bz = bins.along(2, c.z - limit); bz <= last_z; ++bz)
            for (index_t by = bins.along(1, c.y - limit); by <= last_y; ++by) {
                const double dy = bins.away(1, by, c.y), dz = bins.away(2, bz, c.z);
                const double room = limit * limit - dy * dy - dz * dz;
                if (room < 0) continue;
                const double half = std::sqrt(room);
                const index_t row = (bz * bins.count[1] + by) * bins.count[0];
                const index_t begin = bins.begin[row + bins.along(0, c.x - half)];
                const index_t end = bins.begin[row + bins.along(0, c.x + half) + 1];
                for (index_t p = begin; p < end; ++p) {
                    const double dx = x[p] - c.x, dy = y[p] - c.y, dz = z[p] - c.z;
                    square[p] = dx * dx + dy * dy + dz * dz;
                }
                for (index_t p = begin; p < end; ++p) close[many] = (int32_t)p, many += square[p] < limit * limit;
            }
        return many;
    }

    // keeps the candidates within the cutoff, by distances that round alike from either end
    bool keep(index_t i, const int32_t* close, index_t many) {
        const size_t before = found.hits.size();
        if (found.hits.capacity() < before + many) found.hits.reserve(2 * (before + many));
        found.hits.resize(before + many);
        int32_t* to = found.hits.data() + before;
        for (index_t k = 0; k < many; ++k) {
            const int32_t p = close[k], j = found.atom[p];
            const Vector d = (home[j] - home[i]) + offsets[found.image[p]];
            const double own = dot(d, d);
            if (own >= cutoff * cutoff || (j == i && !found.image[p])) continue;
            if (own < nearest * nearest) return false;
            *to++ = p;
        }
        found.hits.resize(to - found.hits.data());
        return true;
    }
};

// Gives what was found to the other ends: pairs [2, count] and shifts [count]. False if some pair had one end only,
// which rounding cannot do.
static bool hand_over(const Found& found, index_t* centers, index_t* neighbors, Step* shifts) {
    std::vector<index_t> next(found.atoms + 1, 0);
    for (index_t i = 0; i < found.atoms; ++i) next[i + 1] = found.ends[i];
    for (index_t i = 0, hit = 0; i < found.atoms; ++i)
        for (; hit < found.ends[i]; ++hit) {
            const int32_t p = found.hits[hit], j = found.atom[p];
            const Step &image = found.images[found.image[p]], &a = found.moved[i], &b = found.moved[j];
            const index_t to = next[j]++;
            if (to == found.ends[j]) return false;
            centers[to] = found.first + j, neighbors[to] = found.first + i;
            shifts[to] = {b.x - a.x - image.x, b.y - a.y - image.y, b.z - a.z - image.z};
        }
    if (found.images.size() == 1) return true;
    for (index_t i = 0, begin = 0; i < found.atoms; ++i)  // the same neighbor more than once
        while (begin < found.ends[i]) {
            index_t end = begin + 1;
            while (end < found.ends[i] && neighbors[end] == neighbors[begin]) ++end;
            if (!std::is_sorted(shifts + begin, shifts + end)) std::sort(shifts + begin, shifts + end);
            begin = end;
        }
    return true;
}

// Whether these are ordinary atoms: finite, in range, of elements that there are.
static bool ordinary(index_t atoms, const double* positions, const index_t* numbers, double farthest, index_t elements) {
    double most = 0;
    bool fine = atoms > 0;
    for (index_t k = 0; k < 3 * atoms; ++k) {
        fine &= positions[k] == positions[k];
        most = std::max(most, std::abs(positions[k]));
    }
    for (index_t i = 0; i < atoms; ++i) fine &= numbers[i] >= 1 && numbers[i] <= elements;
    return fine && most <= farthest;
}

// Searches systems whose atoms lie one behind the other; limits: the cutoff, the shortest distance and the largest
// coordinate. Gives the number of pairs and what `take` wants, or nothing and ODD where somebody should look at a
// system, TOO_LARGE where memory ran out.
extern "C" void* search(index_t atoms, index_t systems, const double* positions, const index_t* numbers,
                        index_t elements, const index_t* owner, const double* cells, const uint8_t* pbc,
                        const double* limits, index_t* count) {
    *count = ODD;
    try {
        std::unique_ptr<std::vector<Found>> all(new std::vector<Found>(systems));
        index_t total = 0, begin = 0;
        for (index_t s = 0; s < systems; ++s) {
            index_t end = begin;
            while (end < atoms && owner[end] == s) ++end;
            Found& found = (*all)[s];
            found.first = begin, found.atoms = end - begin;
            if (!ordinary(found.atoms, positions + 3 * begin, numbers + begin, limits[2], elements))
                return nullptr;
            Search own(found, limits[0], limits[1]);
            if (!own.run(positions + 3 * begin, cells + 9 * s, pbc + 3 * s)) return nullptr;
            total += (index_t)found.hits.size(), begin = end;
        }
        if (begin < atoms) return nullptr;
        *count = total;
        return all.release();
    } catch (const std::bad_alloc&) {
        *count = TOO_LARGE;
        return nullptr;
    }
}

extern "C" index_t take(void* handle, index_t count, index_t* pairs, index_t* shifts) {
    std::unique_ptr<std::vector<Found>> all((std::vector<Found>*)handle);
    index_t begin = 0;
    for (const Found& found : *all) {
        if (!hand_over(found, pairs + begin, pairs + count + begin, (Step*)shifts + begin)) return 0;
        begin += (index_t)found.hits.size();
    }
    return 1;
}

// Marks the pairs closer than the square root of `limit`; how many there are, or -1 if they are those marked before.
extern "C" index_t mark(index_t count, const index_t* pairs, const index_t* shifts, const double* positions,
                        const double* cell, double limit, uint8_t* marks) {
    const Vector *at = (const Vector*)positions, *box = (const Vector*)cell;
    index_t total = 0;
    uint8_t changed = 0;
    for (index_t p = 0; p < count; ++p) {
        const index_t* s = shifts + 3 * p;
        Vector d = at[pairs[count + p]] - at[pairs[p]];
        if (s[0] | s[1] | s[2]) d = d + ((double)s[0] * box[0] + (double)s[1] * box[1] + (double)s[2] * box[2]);
        const uint8_t near = dot(d, d) < limit;
        changed |= near ^ marks[p], marks[p] = near, total += near;
    }
    return changed ? total : -1;
}

// The marked pairs [2, kept] and their shifts.
extern "C" void pick(index_t count, index_t kept, const uint8_t* marks, const index_t* pairs, const Step* shifts,
                     index_t* near, Step* near_shifts) {
    for (index_t p = 0, to = 0; p < count; ++p)
        if (marks[p]) near[to] = pairs[p], near[kept + to] = pairs[count + p], near_shifts[to++] = shifts[p];
}
