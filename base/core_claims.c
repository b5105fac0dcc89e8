/* base/core_claims.c - see core_claims.h. Locks belong to the open file (F_OFD_SETLK), not to a thread. */
#include "base/core_claims.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PUS = 1 << 14 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects everything below */
static int             file = -1;                        /* open while anything is claimed */
static int             n_claims;
static unsigned short  claims[MAX_PUS];                  /* how often this process has claimed each */

static int open_shared(const char *path)
{
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    struct stat facts;
    int         opened = open(path, flags);
    if (opened < 0 && errno == ENOENT) {
        opened = open(path, flags | O_CREAT | O_EXCL, 0666);
        if (opened >= 0) (void)fchmod(opened, 0666); /* for other users' processes, whatever the umask is */
        else if (errno == EEXIST) opened = open(path, flags);
    }
    if (opened < 0) return -1;
    if (fstat(opened, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_nlink == 1) return opened;
    close(opened);
    return -1;
}

static int open_file(void)
{
    const char *path = getenv("CALMOE_CORES");
    if (path) return path[0] ? open_shared(path) : -1;
    const int opened = open_shared("/dev/shm/calmoe.cores");
    return opened >= 0 ? opened : open_shared("/tmp/calmoe.cores");
}

/* Tries to set a lock of that type on the byte, or only asks whether another process holds one. */
static bool set_lock(int opened, unsigned pu, short type)
{
    struct flock wanted = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)pu, .l_len = 1};
    return fcntl(opened, F_OFD_SETLK, &wanted) == 0;
}

static bool is_locked_by_another(int opened, unsigned pu)
{
    struct flock found = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)pu, .l_len = 1};
    return fcntl(opened, F_OFD_GETLK, &found) == 0 && found.l_type != F_UNLCK;
}

bool cm_core_is_taken(unsigned pu)
{
    pthread_mutex_lock(&lock);
    const int  opened = file >= 0 ? file : open_file();
    const bool is_taken = opened >= 0 && pu < MAX_PUS && claims[pu] == 0 && is_locked_by_another(opened, pu);
    if (opened >= 0 && file < 0) close(opened);
    pthread_mutex_unlock(&lock);
    return is_taken;
}

bool cm_core_claim(unsigned pu)
{
    bool is_claimed = true;
    if (pu >= MAX_PUS) return true;
    pthread_mutex_lock(&lock);
    if (file < 0) file = open_file();
    if (claims[pu] == 0 && file >= 0 && !set_lock(file, pu, F_WRLCK)) is_claimed = errno != EAGAIN && errno != EACCES;
    if (is_claimed) {
        claims[pu]++;
        n_claims++;
    } else if (n_claims == 0) {
        close(file);
        file = -1;
    }
    pthread_mutex_unlock(&lock);
    return is_claimed;
}

void cm_core_release(unsigned pu)
{
    if (pu >= MAX_PUS) return;
    pthread_mutex_lock(&lock);
    if (claims[pu] > 0) {
        claims[pu]--;
        n_claims--;
        if (claims[pu] == 0 && file >= 0) (void)set_lock(file, pu, F_UNLCK);
        if (n_claims == 0 && file >= 0) {
            close(file);
            file = -1;
        }
    }
    pthread_mutex_unlock(&lock);
}
