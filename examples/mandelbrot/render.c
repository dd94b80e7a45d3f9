/* render.c - one tile of one frame of a dive into the Mandelbrot set, as PPM rows on standard output
 *
 *   render FRAME FRAMES TILE TILES WIDTH HEIGHT
 *
 * A frame is cut into TILES horizontal bands. The dive goes to a point of the seahorse valley, 1.6 times deeper in ten frames;
 * colours turn slowly with it. Escape times are smoothed so that no bands of colour show. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void colour(double v, double turn, unsigned char rgb[3])
{
	for (int k = 0; k < 3; k++)
		rgb[k] = (unsigned char)(255 * (0.5 + 0.5 * cos(3.0 + v * 0.15 + turn + k * 0.9)));
}

int main(int argc, char **argv)
{
	const double x0 = -0.743643887037151, y0 = 0.131825904205330;
	long n[6];

	for (int i = 0; i < 6; i++) {
		n[i] = argc == 7 ? strtol(argv[i + 1], NULL, 10) : -1;
		if (n[i] < 0 || n[i] > 100000) {
			fprintf(stderr, "usage: render FRAME FRAMES TILE TILES WIDTH HEIGHT\n");
			return 2;
		}
	}
	long frame = n[0], frames = n[1], tile = n[2], tiles = n[3], width = n[4], height = n[5];
	double scale = 3.0 / pow(1.6, frame / 10.0) / width;
	int limit = 200 + 12 * (int)frame;

	if (!frames || !tiles || tile >= tiles || !width || !height)
		return 2;
	for (long y = height * tile / tiles; y < height * (tile + 1) / tiles; y++)
		for (long x = 0; x < width; x++) {
			double cr = x0 + (x - width / 2.0) * scale, ci = y0 + (y - height / 2.0) * scale, r = 0, i = 0, r2 = 0, i2 = 0;
			unsigned char rgb[3] = { 8, 8, 16 };
			int k;

			for (k = 0; k < limit && r2 + i2 < 256; k++) {
				i = 2 * r * i + ci;
				r = r2 - i2 + cr;
				r2 = r * r;
				i2 = i * i;
			}
			if (k < limit)
				colour(k + 1 - log2(log(r2 + i2) / 2), frame * 0.05, rgb);
			fwrite(rgb, 1, 3, stdout);
		}
	return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
