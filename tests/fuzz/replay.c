/*
 * Runs a fuzz target over the files of its corpus, and over every prefix of each small one, without
 * a fuzzer: what the test run does with each target. Fails when there is no seed at all.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX       (1 << 20)
#define PREFIXES_OF_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

/* A copy of just n bytes, so that the sanitizer sees a read past the end. */
static void run_copy(const uint8_t *input, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	memcpy(copy, input, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static int run_file(const char *folder, const char *name, uint8_t *input)
{
	char path[4096];
	size_t n;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return -1;
	}
	n = fread(input, 1, INPUT_MAX, file);
	fclose(file);
	run_copy(input, n);
	for (size_t prefix = 0; n <= PREFIXES_OF_MAX && prefix < n; prefix++)
		run_copy(input, prefix);
	return 0;
}

int main(int argc, char **argv)
{
	uint8_t *input = malloc(INPUT_MAX);
	struct dirent *entry;
	unsigned int files = 0;
	DIR *folder;

	if (argc != 2 || !input) {
		fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
		return 2;
	}
	folder = opendir(argv[1]);
	if (!folder) {
		perror(argv[1]);
		return 1;
	}
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (run_file(argv[1], entry->d_name, input) != 0)
			return 1;
		files++;
	}
	closedir(folder);
	free(input);
	printf("%u inputs\n", files);
	return files > 0 ? 0 : 1;
}
