// SPDX-License-Identifier: MIT
// A hash table with chains: an entry lives as long as its address has a connection, so there are never more
// entries than connections. The hash is seeded, so no client chooses collisions.
#include "net/peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

enum { N_CHAINS = 4096, KEY_BYTES = 9 };

struct peer {
    struct peer *next;
    unsigned char key[KEY_BYTES];
    int n;
};

struct peers {
    pthread_mutex_t lock;
    struct peer *chains[N_CHAINS];
};

struct peers *peers_new(void)
{
    struct peers *p = xcalloc(1, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

void peers_free(struct peers *p)
{
    if (p == NULL)
        return;
    for (int i = 0; i < N_CHAINS; i++) {
        for (struct peer *next, *peer = p->chains[i]; peer != NULL; peer = next) {
            next = peer->next;
            free(peer);
        }
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

// The first byte says which kind the others are. False: not counted.
static bool make_key(const struct sockaddr *address, unsigned char key[KEY_BYTES])
{
    memset(key, 0, KEY_BYTES);
    if (address == NULL)
        return false;
    key[0] = 4;
    if (address->sa_family == AF_INET) {
        memcpy(key + 1, &((const struct sockaddr_in *)address)->sin_addr, 4);
        return true;
    }
    if (address->sa_family != AF_INET6)
        return false;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
    bool is_mapped = IN6_IS_ADDR_V4MAPPED(six);
    key[0] = is_mapped ? 4 : 6;
    memcpy(key + 1, six->s6_addr + (is_mapped ? 12 : 0), is_mapped ? 4 : 8);
    return true;
}

// Adds to the count of an address; an entry that comes to 0 goes.
static int change(struct peers *p, const struct sockaddr *address, int by)
{
    unsigned char key[KEY_BYTES];
    int n = 0;
    if (!make_key(address, key))
        return 0;
    pthread_mutex_lock(&p->lock);
    struct peer **at = &p->chains[map_hash(key, KEY_BYTES) % N_CHAINS];
    while (*at != NULL && memcmp((*at)->key, key, KEY_BYTES) != 0)
        at = &(*at)->next;
    if (*at == NULL && by > 0) {
        *at = xcalloc(1, sizeof **at);
        memcpy((*at)->key, key, KEY_BYTES);
    }
    struct peer *peer = *at;
    if (peer != NULL) {
        n = peer->n += by;
        if (n <= 0) {
            *at = peer->next;
            free(peer);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return n;
}

int peers_enter(struct peers *p, const struct sockaddr *address)
{
    return change(p, address, 1);
}

int peers_leave(struct peers *p, const struct sockaddr *address)
{
    return change(p, address, -1);
}

int peers_count(struct peers *p, const struct sockaddr *address)
{
    return change(p, address, 0);
}

void peers_format(const struct sockaddr *address, char out[PEERS_ADDRESS_BYTES])
{
    snprintf(out, PEERS_ADDRESS_BYTES, "unix");
    if (address != NULL && address->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, out, PEERS_ADDRESS_BYTES);
    } else if (address != NULL && address->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
        bool is_mapped = IN6_IS_ADDR_V4MAPPED(six);
        inet_ntop(is_mapped ? AF_INET : AF_INET6, six->s6_addr + (is_mapped ? 12 : 0), out,
                  PEERS_ADDRESS_BYTES);
    }
}
