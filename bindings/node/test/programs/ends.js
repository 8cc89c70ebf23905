'use strict';
// A process that ends, in the way that its first argument says. Then: the server, its certificate, the database.

const { ZIM } = require('../..');

const [, , way, server, ca, database] = process.argv;
const zim = ZIM.create({ server, ca, database });

const WAYS = {
  /** By itself, once nobody is logged in. */
  destroy: () => zim.destroy(),
  logout: () => zim.logout(),
  /** By itself, although somebody is. */
  unref: () => zim.unref(),
  /** By itself; it never did anything. */
  idle: () => {},
  /** At once, with a command on disk and another on its way. */
  async exit() {
    await zim.setNetwork(false);
    await zim.callInvite(['bob'], { wait: 'disk' });
    zim.callInvite(['carol'], {}).catch(() => {});
    process.exit(7);
  },
  /** Only when it was rung: whoever is logged in is there. */
  rung() {
    zim.on('callInvitationReceived', async (_, { callID }) => {
      await zim.callReject(callID, { extendedData: 'bye' });
      await zim.destroy();
    });
  },
};

(async () => {
  if (way !== 'idle') await zim.login('alice');
  console.log('in');
  await WAYS[way]();
})();
