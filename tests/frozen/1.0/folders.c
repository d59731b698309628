/* A volume driver: a volume is a directory, with a file beside its data that holds its mode. */
#define _GNU_SOURCE
#include <dirent.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gantry_plugin.h"

#define PATH_LEN 4096

/* <root>/<name>, <root>/<name>/data or <root>/<name>/mode */
static void path_of(char *path, const gantry_dirs *dirs, const char *name, const char *part) {
    snprintf(path, PATH_LEN, "%s/%s%s", dirs->root, name, part);
}

/* The mode of a volume as it was asked for; -1 when there is no such volume. */
static int mode_of(const gantry_dirs *dirs, const char *name, char *mode, size_t len, struct stat *stat) {
    char path[PATH_LEN];
    path_of(path, dirs, name, "/mode");
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    size_t got = fread(mode, 1, len - 1, file);
    mode[got] = '\0';
    int known = fstat(fileno(file), stat);
    fclose(file);
    return known;
}

static int no_such(gantry_error *error, const char *name) {
    return gantry_fail(error, GANTRY_NOT_FOUND, "no such volume: %s", name);
}

static int tell(const gantry_dirs *dirs, const char *name, gantry_emit_volume emit, void *to, gantry_error *error) {
    char mode[16], path[PATH_LEN];
    struct stat stat;
    if (mode_of(dirs, name, mode, sizeof mode, &stat) < 0)
        return no_such(error, name);
    path_of(path, dirs, name, "/data");
    gantry_pair facts[] = {{"mode", mode}};
    gantry_volume_info info = {
        .size = sizeof info,
        .name = name,
        .mountpoint = path,
        .created_ns = (uint64_t)stat.st_mtim.tv_sec * 1000000000u + (uint64_t)stat.st_mtim.tv_nsec,
        .status = {facts, 1},
    };
    emit(to, &info);
    return GANTRY_OK;
}

static int validate(void *driver, const char *name, const gantry_pairs *options, gantry_error *error) {
    (void)driver, (void)name;
    const char *mode = gantry_option(options, "mode", "0755");
    char *end;
    long number = strtol(mode, &end, 8);
    if (*mode == '\0' || *end != '\0' || number < 0 || number > 07777) {
        gantry_hint(error, "give octal digits, such as 0770");
        return gantry_fail(error, GANTRY_INVALID, "invalid mode \"%s\"", mode);
    }
    return GANTRY_OK;
}

/* The file appears as a whole or not at all: whoever is killed here leaves no half of it. */
static int write_mode(const char *path, const char *next, const char *mode, gantry_error *error) {
    FILE *file = fopen(next, "we");
    if (file == NULL)
        return gantry_fail_errno(error, "cannot write", next);
    int written = fputs(mode, file);
    if (fclose(file) != 0 || written < 0 || rename(next, path) < 0)
        return gantry_fail_errno(error, "cannot write", path);
    return GANTRY_OK;
}

/* The file with the mode comes last: it makes the volume. */
static int make(const gantry_dirs *dirs, const char *name, const char *mode, gantry_error *error) {
    char path[PATH_LEN];
    path_of(path, dirs, name, "");
    if (mkdir(path, 0711) < 0 && errno != EEXIST)
        return gantry_fail_errno(error, "cannot create", path);
    path_of(path, dirs, name, "/data");
    if ((mkdir(path, 0700) < 0 && errno != EEXIST) || chmod(path, (mode_t)strtol(mode, NULL, 8)) < 0)
        return gantry_fail_errno(error, "cannot create", path);
    char next[PATH_LEN];
    path_of(path, dirs, name, "/mode");
    path_of(next, dirs, name, "/mode.new");
    return write_mode(path, next, mode, error);
}

static int create(void *driver, const char *name, const gantry_pairs *options, const gantry_dirs *dirs,
                  gantry_emit_volume emit, void *to, gantry_error *error) {
    (void)driver;
    char old[16];
    struct stat stat;
    const char *mode = gantry_option(options, "mode", "0755");
    if (mode_of(dirs, name, old, sizeof old, &stat) == 0) {
        if (strcmp(old, mode) != 0)
            return gantry_fail(error, GANTRY_EXISTS, "volume %s exists with mode %s, not %s", name, old, mode);
        return tell(dirs, name, emit, to, error);
    }
    int failed = make(dirs, name, mode, error);
    return failed != GANTRY_OK ? failed : tell(dirs, name, emit, to, error);
}

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *at) {
    (void)stat, (void)kind, (void)at;
    return remove(path);
}

static int remove_volume(void *driver, const char *name, const gantry_dirs *dirs, gantry_error *error) {
    (void)driver;
    char path[PATH_LEN];
    struct stat stat;
    path_of(path, dirs, name, "/mode");
    if (lstat(path, &stat) < 0)
        return no_such(error, name);
    path_of(path, dirs, name, "");
    if (nftw(path, remove_entry, 64, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
        return gantry_fail_errno(error, "cannot remove", path);
    return GANTRY_OK;
}

static int get(void *driver, const char *name, const gantry_dirs *dirs, gantry_emit_volume emit, void *to,
               gantry_error *error) {
    (void)driver;
    return tell(dirs, name, emit, to, error);
}

static int list(void *driver, const gantry_dirs *dirs, gantry_emit_volume emit, void *to, gantry_error *error) {
    (void)driver, (void)error;
    DIR *dir = opendir(dirs->root);
    if (dir == NULL)
        return GANTRY_OK;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            tell(dirs, entry->d_name, emit, to, NULL); /* what is half made is none yet */
    closedir(dir);
    return GANTRY_OK;
}

static int mount_volume(void *driver, const char *name, const gantry_dirs *dirs, gantry_emit_volume_mount emit, void *to,
                        gantry_error *error) {
    (void)driver;
    char mode[16], path[PATH_LEN];
    struct stat stat;
    if (mode_of(dirs, name, mode, sizeof mode, &stat) < 0)
        return no_such(error, name);
    path_of(path, dirs, name, "/data");
    emit(to, path, NULL);
    return GANTRY_OK;
}

static int rename_volume(void *driver, const char *from, const char *name, const gantry_dirs *dirs,
                         gantry_emit_volume emit, void *to, gantry_error *error) {
    (void)driver;
    char old[PATH_LEN], new[PATH_LEN];
    path_of(old, dirs, from, "");
    path_of(new, dirs, name, "");
    if (rename(old, new) < 0)
        return errno == ENOENT ? no_such(error, from) : gantry_fail_errno(error, "cannot rename to", new);
    return tell(dirs, name, emit, to, error);
}

static const gantry_volume_driver volume_driver = {
    .size = sizeof volume_driver,
    .capabilities = GANTRY_VOLUME_RENAME,
    .validate = validate,
    .create = create,
    .remove = remove_volume,
    .get = get,
    .list = list,
    .mount = mount_volume,
    .rename = rename_volume,
};

static const gantry_plugin plugin = {.size = sizeof plugin, .volume = &volume_driver};

const gantry_plugin *gantry_plugin_v1(void) {
    return &plugin;
}

GANTRY_PLUGIN("folders", "1.0", "MIT",
              GANTRY_HAS_VOLUME
              GANTRY_OPTION("mode", "string", "mode of the volume's directory, in octal") GANTRY_DEFAULT("0755"));
