"""Skinning and drawing of triangle meshes, compiled with numba."""

from __future__ import annotations

import numba
import numpy as np

FAR = 1e9


def bone_transforms(rotations: np.ndarray, heads: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """World transforms f32 [B, 3, 4] of the posed bones: each turns about its origin, after its parent."""
    world = np.zeros((len(parents), 4, 4))
    for bone, parent in enumerate(parents):
        local = np.eye(4)
        local[:3, :3] = rotations[bone]
        local[:3, 3] = heads[bone] - rotations[bone] @ heads[bone]
        world[bone] = local if parent < 0 else world[parent] @ local
    return world[:, :3].astype(np.float32)


@numba.njit(cache=True, fastmath=True)
def skin(vertices: np.ndarray, weights: np.ndarray, bones: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Linear blend skinning: f32 [V, 3] by `weights`, `bones` [V, K] and `transforms` [B, 3, 4]."""
    posed = np.empty_like(vertices)
    for v in range(vertices.shape[0]):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        a, b, c = np.float32(0), np.float32(0), np.float32(0)
        for k in range(weights.shape[1]):
            w = weights[v, k]
            if w > 1e-4:
                t = transforms[bones[v, k]]
                a += w * (t[0, 0] * x + t[0, 1] * y + t[0, 2] * z + t[0, 3])
                b += w * (t[1, 0] * x + t[1, 1] * y + t[1, 2] * z + t[1, 3])
                c += w * (t[2, 0] * x + t[2, 1] * y + t[2, 2] * z + t[2, 3])
        posed[v, 0], posed[v, 1], posed[v, 2] = a, b, c
    return posed


@numba.njit(cache=True, fastmath=True)
def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals f32 [V, 3], the mean of the adjoining triangles weighted by area; zero where there are
    none.
    """
    normals = np.zeros_like(vertices)
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = (
            vertices[j, 0] - vertices[i, 0],
            vertices[j, 1] - vertices[i, 1],
            vertices[j, 2] - vertices[i, 2],
        )
        bx, by, bz = (
            vertices[k, 0] - vertices[i, 0],
            vertices[k, 1] - vertices[i, 1],
            vertices[k, 2] - vertices[i, 2],
        )
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for corner in (i, j, k):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for v in range(vertices.shape[0]):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2) + 1e-12
        for axis in range(3):
            normals[v, axis] /= length
    return normals


@numba.njit(cache=True, fastmath=True)
def draw(
    points: np.ndarray, colours: np.ndarray, faces: np.ndarray, depth: np.ndarray, image: np.ndarray
) -> None:
    """Draw triangles into `depth` f32 [h, w] and `image` f32 [h, w, 4] (RGB and coverage 0 or 255).

    `points` f32 [V, 3]: x and y with pixel i covering i..i+1, z the distance from the camera; `colours` f32
    [V, 3].
    """
    height, width = depth.shape
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        x0, y0, x1, y1, x2, y2 = (
            points[i, 0],
            points[i, 1],
            points[j, 0],
            points[j, 1],
            points[k, 0],
            points[k, 1],
        )
        left = max(0, int(np.ceil(min(x0, x1, x2) - 0.5)))
        right = min(width - 1, int(np.floor(max(x0, x1, x2) - 0.5)))
        top = max(0, int(np.ceil(min(y0, y1, y2) - 0.5)))
        bottom = min(height - 1, int(np.floor(max(y0, y1, y2) - 0.5)))
        if left > right or top > bottom:
            continue
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        scale = 1 / area
        # The first two barycentric weights change by these from one pixel to the next.
        u_step, v_step = (y1 - y2) * scale, (y2 - y0) * scale
        for y in range(top, bottom + 1):
            px, py = left + 0.5, y + 0.5
            u = ((x1 - px) * (y2 - py) - (x2 - px) * (y1 - py)) * scale
            v = ((x2 - px) * (y0 - py) - (x0 - px) * (y2 - py)) * scale
            for x in range(left, right + 1):
                t = 1 - u - v
                if u >= -1e-6 and v >= -1e-6 and t >= -1e-6:
                    z = u * points[i, 2] + v * points[j, 2] + t * points[k, 2]
                    if z < depth[y, x]:
                        depth[y, x] = z
                        for c in range(3):
                            image[y, x, c] = u * colours[i, c] + v * colours[j, c] + t * colours[k, c]
                        image[y, x, 3] = 255
                u += u_step
                v += v_step
